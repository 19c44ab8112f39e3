"""Review of annotations: a local page, and reviewers' decisions."""
