"""What a run will cost and how long it will take, from its recipe and from earlier runs."""
