"""Fuzzing of everything that thcli reads: `make fuzz`, and 300 inputs in the suite."""
