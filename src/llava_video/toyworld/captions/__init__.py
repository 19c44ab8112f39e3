"""Telling: from a script to descriptions, on the paper's three levels."""
