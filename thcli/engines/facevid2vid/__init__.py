"""face vid2vid, the unofficial one-shot free-view model.

3-D keypoints, head pose and expression drive a dense motion in a feature volume.
"""
