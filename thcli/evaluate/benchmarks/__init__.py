"""Benchmarks behind the subcommands of `thcli eval`, and `thcli bench`."""
