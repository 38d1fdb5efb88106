"""`thcli transmit` and `thcli receive`."""
