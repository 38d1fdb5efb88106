"""Compositing of changed crops: masks, occlusion, colour, blending, grain."""
