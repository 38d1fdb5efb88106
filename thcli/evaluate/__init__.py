"""Metrics, tables, contact sheets, benchmarks."""
