"""Diffusion Video Autoencoders (Kim et al. 2023): one identity for a clip, landmarks and a noise image for each frame."""
