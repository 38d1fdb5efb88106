"""FADM, an attribute-guided diffusion model (Zeng et al. 2023).

The colours, motion and detail of a coarse frame condition the generation of a new frame.
"""
