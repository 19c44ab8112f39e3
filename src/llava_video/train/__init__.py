"""Training. So far one recipe: the embedded ``tiny`` model, from scratch, on toyworld."""
