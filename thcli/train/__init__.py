"""Training: clips cut out of videos, losses, one loop, and a file for each model. torch is imported only by what trains."""
