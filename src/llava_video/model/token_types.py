"""What an id of a prompt stands for; transformers' numbers for ``mm_token_type_ids``."""

TEXT, IMAGE, VIDEO = 0, 1, 2
