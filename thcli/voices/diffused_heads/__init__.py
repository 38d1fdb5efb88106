"""Diffused Heads (Stypulkowski et al., WACV 2024): a diffusion model that paints frame after frame from a picture and a sound."""
