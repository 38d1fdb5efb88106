"""Diffused Heads (Stypulkowski et al., WACV 2024): autoregressive diffusion of talking faces."""
