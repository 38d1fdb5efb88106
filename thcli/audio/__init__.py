"""Sound in small numbers: reading, loudness, voice, pitch, energy, log-mel, HuBERT features, all brought to the frames of a picture."""
