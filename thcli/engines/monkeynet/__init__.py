"""Monkey-Net: keypoints with covariances, a mixture of their translations, warped skips (Siarohin et al. 2019)."""
