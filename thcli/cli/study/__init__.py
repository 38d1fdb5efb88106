"""`thcli eval study` and `thcli eval answers`."""
