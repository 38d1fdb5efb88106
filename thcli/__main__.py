"""Entry point of `python -m thcli` and of the `thcli` script."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType

BUG_REPORT_HINT = (
    "This is a bug in thcli. Run the command again with --debug and report it with the traceback."
)


def _report_bug(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Write an exception outside of the ThcliError tree to stderr; the interpreter exits with 1."""
    if "--debug" in sys.argv:
        traceback.print_exception(kind, error, trace)
    else:
        sys.stderr.write(f"thcli: {kind.__name__}: {error}\n{BUG_REPORT_HINT}\n")


def main() -> None:
    """Run the command line and exit with its code."""
    from thcli.cli.app import run

    sys.excepthook = _report_bug
    raise SystemExit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
