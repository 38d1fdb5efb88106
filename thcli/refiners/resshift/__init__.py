"""Residual shifting: diffusion from a crop with detail to the true one."""
