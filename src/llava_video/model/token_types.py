"""Types of the tokens of a prompt: transformers' values of ``mm_token_type_ids``."""

TEXT, IMAGE, VIDEO = 0, 1, 2
