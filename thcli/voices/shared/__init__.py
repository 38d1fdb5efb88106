"""Parts of several voices."""
