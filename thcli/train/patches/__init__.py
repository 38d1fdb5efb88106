"""Training of patches-s, the network that paints eyes."""
