"""Voices: a portrait and a sound become pictures, one after the other."""
