"""Drawing: from a script to pictures, by way of the stage."""
