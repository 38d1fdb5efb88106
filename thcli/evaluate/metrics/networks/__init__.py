"""Networks of published metrics, in the layouts of their official weights."""
