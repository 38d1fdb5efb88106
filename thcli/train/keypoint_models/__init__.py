"""Training of the reenactment models that learn keypoints, and of X2Face."""
