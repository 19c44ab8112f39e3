"""People looking at annotations: a local page, and their decisions as an overlay over the records."""
