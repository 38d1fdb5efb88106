"""Entry point of `python -m thcli` and of the `thcli` script."""

from __future__ import annotations

import gc
import logging
import os
import sys
import traceback
import warnings
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


def silence_libraries() -> None:
    """Keep warnings and log records of other packages off stderr; thcli's own are shown.

    Damaged files make them warn (of TIFF tags, escapes in pickles); whether the file is usable is
    said by the result or by one error. `--debug`, `-W` and PYTHONWARNINGS show them.
    """
    if sys.warnoptions or "--debug" in sys.argv:
        return
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())  # without one, records go to stderr
    own = logging.getLogger("thcli")
    own.propagate = False
    own.addHandler(logging.StreamHandler())


def fix_rounding() -> None:
    """Let NumPy sum with one thread, before it is imported: results round alike on any machine.

    How OpenBLAS splits a sum depends on the number of cores, and on OMP_NUM_THREADS. Frames and
    crops are computed side by side, so that the cores have work.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main() -> None:
    """Run the command line and exit with its code."""
    fix_rounding()
    try:
        from thcli.cli.app import run
    except KeyboardInterrupt:  # within the second that modules are loaded
        sys.stderr.write("thcli: interrupted.\n")
        raise SystemExit(130) from None

    silence_libraries()
    sys.excepthook = _report_bug
    code = run(sys.argv[1:])
    gc.freeze()  # the interpreter's last rounds over all modules would take half a second
    raise SystemExit(code)


if __name__ == "__main__":
    main()
