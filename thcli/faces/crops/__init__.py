"""Crops of faces: placement by templates, resampling, stabilization over time."""
