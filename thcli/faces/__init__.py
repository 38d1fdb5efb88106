"""Faces in pictures: detection, points, tracks, choice, alignment, paste-back."""
