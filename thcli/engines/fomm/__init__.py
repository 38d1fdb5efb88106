"""First Order Motion Model: keypoints with local affine maps, dense motion, occlusion (Siarohin et al. 2019)."""
