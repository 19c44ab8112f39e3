"""People looking at annotations: a local page, and their decisions over the records."""
