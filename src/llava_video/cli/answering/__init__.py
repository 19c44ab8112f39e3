"""The verbs that answer: ``ask`` and ``chat``."""
