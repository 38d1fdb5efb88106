"""Motion of a whole picture and of its shoulders: the driver's camera and torso."""
