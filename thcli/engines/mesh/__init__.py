"""The mesh engine: the source's own texture, warped (no generative weights)."""
