"""The verb that serves."""
