"""Mesh engine: the source's own texture, warped without generative weights."""
