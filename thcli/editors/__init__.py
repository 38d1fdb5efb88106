"""Editors: a face taken apart into who it is, how it moves and the rest, and put together as somebody changed."""
