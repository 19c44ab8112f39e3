"""What is shown of a run, said once as values: on a terminal, in Markdown, as an HTML page."""
