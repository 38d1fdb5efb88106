"""The commands' pipelines, each on one screen, and the machinery under them."""
