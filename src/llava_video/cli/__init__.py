"""The command line: one module per verb, verbs that belong together in folders."""
