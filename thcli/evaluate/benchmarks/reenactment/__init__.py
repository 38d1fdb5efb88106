"""Reenactment: engines and finished videos on several clips."""
