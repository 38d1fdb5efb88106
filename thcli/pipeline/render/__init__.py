"""Pass 2: rendering of frames, background, and output."""
