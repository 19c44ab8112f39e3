"""Files of checkpoints: JSON, pickles, tokenizers and settings, adapters."""
