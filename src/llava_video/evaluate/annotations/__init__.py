"""Annotation files and the folders of videos beside them."""
