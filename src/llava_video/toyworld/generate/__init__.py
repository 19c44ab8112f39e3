"""Writing: from a seed to a script, level by level."""
