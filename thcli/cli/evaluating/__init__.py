"""Commands of `thcli eval` that compare several methods."""
