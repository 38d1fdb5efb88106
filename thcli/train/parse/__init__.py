"""Training of parse-s, the face parser."""
