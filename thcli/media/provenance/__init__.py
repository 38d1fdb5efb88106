"""Marks of synthetic content: a visible label, an invisible watermark, Content Credentials."""
