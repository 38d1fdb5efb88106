"""Face tracks through a clip: tracker, scene cuts, head motion, choice of tracks."""
