"""The default voice: what is heard, to the motion of the mouth (a conditional VAE with a flow prior), the head and the lids."""
