"""Which videos are annotated: finding, measuring, choosing, reading frames."""
