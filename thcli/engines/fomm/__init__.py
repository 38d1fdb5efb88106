"""First Order Motion Model: keypoints with local affine maps, dense motion and occlusion.

Source: Siarohin et al. 2019.
"""
