"""Training on data of one's own: recipes, the run plan, the loop, adapters, checkpoints."""
