"""Identity vectors of faces: our small network, and what all identity backends share."""
