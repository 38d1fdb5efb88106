"""Training of Real3D-Portrait's video model on rendered views of known heads."""
