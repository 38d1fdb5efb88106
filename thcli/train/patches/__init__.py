"""Training of patches-s, the networks that paint eyes and mouth."""
