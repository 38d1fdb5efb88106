"""Building blocks that editors share."""
