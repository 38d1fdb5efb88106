"""Expression sliders and head poses that are given rather than observed."""
