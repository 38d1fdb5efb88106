"""Motion codec beside video codecs: bitrate, quality, delay."""
