"""Painter atlas: attribute directions of shape and texture on the 468 mesh points of a face."""
