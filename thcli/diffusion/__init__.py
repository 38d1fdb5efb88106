"""Noise schedules, the processes over them and their samplers, and the blocks of ADM U-Nets: what every diffusion model here shares."""
