"""Painter removers: takes glasses, beards and make-up off the clip's averaged texture."""
