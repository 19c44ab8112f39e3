"""The page of the server: its files, and the routes that only it needs."""
