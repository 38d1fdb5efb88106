"""Attribute directions of shape and texture, pinned on the 468 points of a face."""
