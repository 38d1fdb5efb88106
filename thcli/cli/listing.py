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
    what: Annotated[
        str,
        typer.Argument(
            help="engines, backends, one stage such as detector, regions (of faces) or attributes (that can be edited)."
        ),
    ] = "backends",
    *,
    show: ShowOptions,
) -> None:
    """List engines and backends: weights, licence, readiness; the regions that faces are divided into; the attributes that can be edited."""
    from thcli.pipeline.backends import STAGES

    if what == "regions":
        _regions(show)
        return
    if what == "attributes":
        _attributes(show)
        return
    lists = {"backends": tuple(STAGES), **{stage: (stage,) for stage in STAGES}}
    plurals = {f"{stage}s": (stage,) for stage in STAGES}
    if what not in lists | plurals:
        raise UsageError(
            f"There is no list of {what!r}.", f"There are: {', '.join(lists)}, regions, attributes."
        )
    stages = (lists | plurals)[what]
    rows = [_row(stage, name) for stage in stages for name in STAGES[stage].all()]
    with Console(show) as console:
        console.table(
            ("stage", "name", "ready", "licence", "weights", "about"),
            [
                (r["stage"], r["name"], r["ready"], r["licence"], r["size"], r["about"])
                for r in rows
            ],
            {"command": "list", "rows": rows},
        )


def _row(stage: str, name: str) -> dict[str, Any]:
    """One backend's facts, with the command that makes it ready."""
    from thcli import weights
    from thcli.pipeline.backends import STAGES

    row = STAGES[stage].backend(name)
    entries = [weights.registry()[w] for w in row.weights]
    absent = [e.name for e in entries if not weights.present(e.name)]
    automatic = all(weights.registry()[n].auto for n in absent)
    ready = (
        "yes"
        if not absent
        else "at first use"
        if automatic
        else f"thcli weights pull {' '.join(absent)}"
    )
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


def _regions(show: ShowOptions) -> None:
    """The classes of face parsing: number in a label picture, name, colour, and the groups that hold it."""
    from thcli.faces.parsing import CLASSES, GROUPS, PALETTE

    rows: list[dict[str, Any]] = [
        {
            "number": number,
            "region": name,
            "colour": "#" + bytes(PALETTE[number].tolist()).hex(),
            "groups": [group for group, members in GROUPS.items() if number in members],
        }
        for number, name in enumerate(CLASSES)
    ]
    with Console(show) as console:
        console.table(
            ("number", "region", "colour", "groups"),
            [(r["number"], r["region"], r["colour"], ", ".join(r["groups"])) for r in rows],
            {"command": "list", "rows": rows},
        )


def _attributes(show: ShowOptions) -> None:
    """What `thcli edit --attr` knows: how each is done by default, how much of it was measured, under which licence, whether it is ready."""
    from thcli.editors.catalogue import ROWS, engines, measured, stage_of, ways_of

    noted = measured()["attributes"]
    rows: list[dict[str, Any]] = []
    for row in ROWS:
        way = [name for name, _ in ways_of(row, "auto", "any")]
        facts = [_row(stage_of(name), name) for name in way]
        seen = noted.get(row.name)
        strength = (
            f"{seen['before']:.2f} to {seen['after']:.2f}"
            if seen and seen["by"] == "+".join(way)
            else "unmeasured"
        )
        rows.append(
            {
                "name": row.name,
                "aliases": list(row.aliases),
                "about": row.about,
                "by": way,
                "others": [n for n in engines(row) if n not in way],
                "strength": strength,
                "ready": next((f["ready"] for f in facts if f["ready"] != "yes"), "yes"),
                "licence": ", ".join(sorted({f["licence"] for f in facts})),
                "commercial": all(f["commercial"] for f in facts),
            }
        )
    with Console(show) as console:
        console.table(
            ("attribute", "what", "by", "or by", "likelihood", "licence", "ready"),
            [
                (
                    r["name"],
                    r["about"],
                    "+".join(r["by"]),
                    ", ".join(r["others"]),
                    r["strength"],
                    _short(r["licence"]),
                    r["ready"],
                )
                for r in rows
            ],
            {"command": "list", "measured_by": measured()["command"], "rows": rows},
        )


def _short(licence: str) -> str:
    """Licences without what stands in brackets, each once."""
    return ", ".join(dict.fromkeys(part.split(" (")[0] for part in licence.split("), ")))
