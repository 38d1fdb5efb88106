"""Moving pictures in and out through PyAV: probe, read, write, colour, rotation, sound, subtitles. Knows no faces."""
