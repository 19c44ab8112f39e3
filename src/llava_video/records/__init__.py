"""Records that several rooms read and write."""
