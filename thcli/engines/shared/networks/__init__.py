"""Blocks of the published warping networks, and the base classes of their engines."""
