"""What models write, judged and read before it is kept."""
