"""FADM, an attribute-guided diffusion model (Zeng et al. 2023): a coarse frame's colours, motion and detail guide a frame made anew."""
