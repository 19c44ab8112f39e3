"""The verb that plans a training run."""
