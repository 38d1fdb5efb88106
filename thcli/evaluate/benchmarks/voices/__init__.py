"""Voices: mouth and head against the talkers themselves."""
