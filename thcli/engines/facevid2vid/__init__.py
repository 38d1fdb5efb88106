"""face vid2vid, the unofficial one-shot free-view model: 3-D keypoints, head pose and expression, dense motion in a volume."""
