"""What a run will cost, from its recipe and from earlier runs."""
