"""Mouths: lips, what lies between them, and whose it is."""
