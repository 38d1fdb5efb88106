"""Conferencing: motion packets from frames, and frames from motion packets."""
