"""Engines: where the steps of each video run."""
