"""Inputs of a reenactment: source image, speech and framing."""
