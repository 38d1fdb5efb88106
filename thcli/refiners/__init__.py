"""What makes coarse pictures better: source + coarse picture -> picture."""
