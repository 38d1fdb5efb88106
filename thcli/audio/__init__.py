"""Audio reading and features (loudness, speech, pitch, energy, log-mel, HuBERT)."""
