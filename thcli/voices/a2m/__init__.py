"""Default voice: audio to mouth motion (conditional VAE with a flow prior), head and lids."""
