"""The steps of each video: describe, ask, filter, check."""
