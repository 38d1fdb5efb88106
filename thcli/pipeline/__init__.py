"""The commands' pipelines and their stages."""
