"""Diffusion Video Autoencoders (Kim et al. 2023).

A clip has one identity; each frame has landmarks and a noise image.
"""
