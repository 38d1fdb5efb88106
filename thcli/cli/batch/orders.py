"""Orders to workers: a whole job, a part of a job, or the end of a job that was cut into parts.

    {"argv"}                    run the command line
    {"argv", "part"}            encode frames part[0]..part[1] of its output
    {"argv", "join"}            join the parts, a list of [start, stop], and complete the output

Orders with "part" or "join" also have "output", the file that the command line writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

OWN_FLAGS = ("--json", "--progress", "json")


def perform(run: Callable[[Sequence[str]], int], order: dict[str, Any]) -> int:
    """Carry out an order and return the exit code; a part that is encoded has 0.

    Args:
        run: runs a command line and returns its exit code.
        order: see above.
    """
    command, *words = order["argv"]
    argv = [command, *OWN_FLAGS, *words]
    if "output" not in order:
        return run(argv)
    from thcli.cli.console import complain
    from thcli.core.errors import ThcliError
    from thcli.media.parts import (
        Part,
        PartComplete,
        join_parts,
        only_part,
        remove_work,
        work_folder,
    )
    from thcli.pipeline.observe.kept_driver import kept_drivers

    output = Path(order["output"])
    with kept_drivers(work_folder(output)):
        if "part" in order:
            try:
                with only_part(Part(*order["part"])):
                    return run(argv)
            except PartComplete:
                return 0
        parts = [Part(start, stop) for start, stop in order["join"]]
        try:
            join_parts(output, parts)
        except ThcliError as error:
            complain(error, command, as_json=True)
            return error.exit_code
        code = run(argv)
    if code == 0:
        remove_work(output, parts)
    return code
