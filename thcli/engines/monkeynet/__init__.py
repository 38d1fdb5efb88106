"""Monkey-Net: keypoints with covariances, a mixture of their translations, warped skips.

Source: Siarohin et al. 2019.
"""
