"""Views of a run: terminal, page, provenance."""
