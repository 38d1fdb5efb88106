"""What editors have in common."""
