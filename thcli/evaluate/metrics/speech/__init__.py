"""Measures of speech: lips against sound and person, head, brows, blinks."""
