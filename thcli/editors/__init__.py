"""Editors and painters that change facial attributes, and the text models that steer them."""
