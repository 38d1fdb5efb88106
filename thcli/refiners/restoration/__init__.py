"""Restoration networks as refiners: GFPGAN, CodeFormer and RestoreFormer."""
