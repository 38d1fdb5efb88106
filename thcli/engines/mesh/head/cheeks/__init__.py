"""Cheeks that a turn brings into view: mirrored from the other side, or grown as plain skin."""
