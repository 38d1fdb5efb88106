"""Learned rendering of eyes and mouth: small networks that paint patches of a warped frame."""
