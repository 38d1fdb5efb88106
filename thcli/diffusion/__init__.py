"""Diffusion models: noise schedules, forward and reverse processes, samplers and U-Net blocks."""
