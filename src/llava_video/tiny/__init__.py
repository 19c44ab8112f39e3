"""How the embedded model `tiny` is trained, and the tables of models like it."""
