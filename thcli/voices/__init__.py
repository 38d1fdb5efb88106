"""Voices: speech to the motion of a face, or to images of a talking face."""
