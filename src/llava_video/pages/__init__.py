"""Blocks of a page as values, rendered to a terminal, Markdown and HTML."""
