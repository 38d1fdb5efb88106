"""Faces of a video, followed by the pixels of their skin."""
