"""From conversations with videos and images to model inputs; needs no weights."""
