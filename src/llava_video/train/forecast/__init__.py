"""What a run would take, before there is data."""
