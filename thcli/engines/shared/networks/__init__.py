"""Blocks that the published warping networks share: layers, grids, keypoints, fast inference, strict checkpoints."""
