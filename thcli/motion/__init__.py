"""Facial motion: motion files, pose and expression, retargeting, smoothing, sliders."""
