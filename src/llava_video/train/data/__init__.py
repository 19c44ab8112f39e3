"""From a mixture of datasets to rows of tokens."""
