"""`llava-video serve`: an OpenAI-compatible API, a page, and a guard for strangers' media."""
