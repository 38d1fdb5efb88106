"""Training of the networks that learn from labelled faces: judge and clip-s."""
