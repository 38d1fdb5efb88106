"""Training of Diffused Heads: dh-s and the published network."""
