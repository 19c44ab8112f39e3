"""Who answers: the model behind a bounded queue, in a thread that owns it."""
