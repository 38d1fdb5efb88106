"""`thcli list`: what there is to choose from, its licence and whether it is ready."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.core.errors import UsageError
from thcli.core.options import ShowOptions


@flags
def listing(
    what: Annotated[str, typer.Argument(help="engines, backends, or one stage such as detector.")] = "backends",
    *,
    show: ShowOptions,
) -> None:
    """List engines and backends: weights, licence, readiness."""
    from thcli.core.backends import TABLE

    lists = {"backends": tuple(TABLE), "engines": ("engine",), **{stage: (stage,) for stage in TABLE}}
    if what not in lists:
        raise UsageError(f"There is no list of {what!r}.", f"There are: {', '.join(lists)}.")
    stages = lists[what]
    rows = [_row(stage, name) for stage in stages for name in TABLE[stage]]
    with Console(show) as console:
        console.table(
            ("stage", "name", "ready", "licence", "weights", "about"),
            [(r["stage"], r["name"], r["ready"], r["licence"], r["size"], r["about"]) for r in rows],
            {"command": "list", "rows": rows},
        )


def _row(stage: str, name: str) -> dict[str, Any]:
    """One backend's facts, with the command that makes it ready."""
    from thcli import weights
    from thcli.core.backends import TABLE

    row = TABLE[stage][name]
    entries = [weights.registry()[w] for w in row.weights]
    absent = [e.name for e in entries if not weights.present(e.name)]
    automatic = all(weights.registry()[n].auto for n in absent)
    ready = "yes" if not absent else "at first use" if automatic else f"thcli weights pull {' '.join(absent)}"
    return {
        "stage": stage,
        "name": name,
        "about": row.about,
        "ready": ready,
        "licence": ", ".join(sorted({e.licence for e in entries})) or "Apache-2.0 (thcli)",
        "commercial": all(e.commercial for e in entries),
        "size": f"{sum(e.size for e in entries) / 1e6:.1f} MB" if entries else "none",
        "weights": list(row.weights),
    }
