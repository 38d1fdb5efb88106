"""Metrics of images, faces, identities and attributes."""
