"""Training of mouths-s, which paints the drawn inside of a mouth as a photograph shows it."""
