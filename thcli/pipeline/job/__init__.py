"""Context of one run, its report, and values that all stages share."""
