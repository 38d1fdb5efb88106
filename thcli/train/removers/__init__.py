"""Training of removers-s, which takes glasses, beards and make-up off an unrolled face."""
