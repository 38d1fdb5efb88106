"""LivePortrait: implicit 3-D keypoints with stitching and retargeting of eyes and lips.

Source: Guo et al. 2024.
"""
