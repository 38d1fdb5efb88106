"""Commands that read one file and say what is in it."""
