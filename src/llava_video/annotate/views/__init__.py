"""What a person reads about a run: terminal, page, chains of evidence."""
