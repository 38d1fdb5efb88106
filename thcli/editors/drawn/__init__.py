"""Painter drawn: glasses, beards, make-up, hair and skin colours on mesh points and regions.

It learns nothing and needs no weights: free for any use. Colour, light and sharpness are taken from
the face.
"""
