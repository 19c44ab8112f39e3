"""inspect_ai's side of an evaluation: tasks, the provider of our models, scorers and judges."""
