"""Checkpoints: loading, released names and layouts, converting, parity."""
