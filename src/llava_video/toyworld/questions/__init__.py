"""Asking: from a script to questions with true answers, of all types of the paper's Table 1."""
