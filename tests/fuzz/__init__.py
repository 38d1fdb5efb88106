"""Fuzzing of everything that thcli reads: `make fuzz`, and 200 inputs in the suite."""
