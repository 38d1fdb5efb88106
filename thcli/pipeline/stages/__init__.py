"""Single stages of the method as commands."""
