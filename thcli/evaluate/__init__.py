"""Benchmarks, metrics, test data and reports of `thcli eval` and `thcli bench`."""
