"""Training of a2m-s, the default voice."""
