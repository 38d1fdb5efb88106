"""Table of the options that only some backends read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thcli.core.options import (
    EditOptions,
    ReenactOptions,
    RefineJobOptions,
    SpeakOptions,
    flag_names,
    walk_options,
)
from thcli.editors.backends import EDITORS, PAINTERS
from thcli.engines.backends import ENGINES
from thcli.refiners.backends import REFINERS
from thcli.voices.backends import VOICES
from thcli.weights.backend import Stage


@dataclass(frozen=True, slots=True)
class OptionRow:
    """An option and the backends among which a job chooses.

    command: of the flag.  path: fields on the way to the option.  backends: name -> it is read.
    """

    command: str
    path: str
    flag: str
    backends: Mapping[str, bool]


# Command, its options, and the stages of the backends that share a choice.
CHOICES: tuple[tuple[str, Any, tuple[Stage, ...]], ...] = (
    ("reenact", ReenactOptions(), (ENGINES,)),
    ("speak", SpeakOptions(), (VOICES,)),
    ("refine", RefineJobOptions(), (REFINERS,)),
    ("edit", EditOptions(), (EDITORS, PAINTERS)),
)


def option_rows() -> list[OptionRow]:
    """Return a row for every option that a backend declares, from the declarations."""
    out: list[OptionRow] = []
    for command, options, stages in CHOICES:
        backends = {name: row for stage in stages for name, row in stage.rows.items()}
        for path, item, _ in walk_options(options):
            read = {name: row.reads_option(path) for name, row in backends.items()}
            if any(read.values()):
                out.append(OptionRow(command, path, flag_names(item)[0].partition("/")[0], read))
    return out
