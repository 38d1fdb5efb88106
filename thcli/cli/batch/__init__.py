"""`thcli batch`: many jobs in a few warm processes.

`jobs` reads them, `pool` gives them to worker processes (`worker`), `record` keeps the report that
`--resume` continues, and `command` is the command.
"""
