"""`python -m thcli` and the `thcli` script."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType

REPORT = "This is a bug in thcli. Please report it with the command and, from a second run with --debug, the traceback."


def _bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What the interpreter shows of an exception outside of our error tree; it then exits with 1."""
    if "--debug" in sys.argv:
        traceback.print_exception(kind, error, trace)
    else:
        sys.stderr.write(f"thcli: {kind.__name__}: {error}\n{REPORT}\n")


def main() -> None:
    """Runs the command line and exits with its code."""
    from thcli.cli.app import run

    sys.excepthook = _bug
    raise SystemExit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
