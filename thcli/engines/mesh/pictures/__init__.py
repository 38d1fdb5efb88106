"""Several pictures of one person as one source."""
