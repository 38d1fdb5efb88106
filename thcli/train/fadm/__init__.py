"""Training of fadm-s, the small refiner."""
