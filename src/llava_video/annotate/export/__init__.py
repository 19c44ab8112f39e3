"""From records to a dataset with its card."""
