"""`thcli list`: backends, face regions and attributes, with licence and readiness."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.core.byte_sizes import size_text
from thcli.core.errors import UsageError
from thcli.core.options import ShowOptions

if TYPE_CHECKING:
    from thcli.weights.backend import Backend


@flags
def listing(
    what: Annotated[
        str,
        typer.Argument(
            help="backends, engines or another stage such as detector; regions; attributes; "
            "expressions; options, which names the backends that read each."
        ),
    ] = "backends",
    *,
    show: ShowOptions,
) -> None:
    """List backends with weights, licence, readiness; regions; attributes; expressions; options."""
    from thcli.pipeline.backends import STAGES

    if what == "regions":
        _regions(show)
        return
    if what == "attributes":
        _attributes(show)
        return
    if what == "options":
        _options(show)
        return
    if what == "expressions":
        _expressions(show)
        return
    lists = {"backends": tuple(STAGES), **{stage: (stage,) for stage in STAGES}}
    plurals = {f"{stage}s": (stage,) for stage in STAGES}
    if what not in lists | plurals:
        others = ("regions", "attributes", "expressions", "options")
        near = get_close_matches(what, (*lists, *plurals, *others), 1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"There is no list of {what!r}.", f"{hint}There are: {', '.join((*lists, *others))}."
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


def _total_size(sizes: list[int]) -> str:
    """Return the sum of sizes in bytes, of which 0 means unknown, as text."""
    known = size_text(sum(sizes))
    if all(sizes):
        return known if sizes else "none"
    return f"more than {known}" if any(sizes) else "unknown"


def _row(stage: str, name: str) -> dict[str, Any]:
    """Return the facts of one backend, with the command that makes it ready."""
    from thcli import weights
    from thcli.pipeline.backends import STAGES

    row = STAGES[stage].backend(name)
    entries = [weights.registry()[w] for w in row.weights]
    absent = [e.name for e in entries if not weights.is_ready(e.name)]
    automatic = all(weights.registry()[n].auto for n in absent)
    ready = "yes"
    if absent:
        ready = "at first use" if automatic else weights.get_commands(absent)
    return {
        "stage": stage,
        "name": name,
        "about": row.about,
        "ready": ready,
        "licence": ", ".join(sorted({e.licence for e in entries})) or _licence_of_code(row),
        "commercial": all(e.commercial for e in entries),
        "size": _total_size([e.size for e in entries]),
        "weights": list(row.weights),
        "reads": list(row.reads),
    }


def _licence_of_code(row: Backend) -> str:
    """Return the licence of a backend without weights."""
    return "Apache-2.0 (thcli)" if row.factory.startswith("thcli.") else f"of {row.package}"


def _options(show: ShowOptions) -> None:
    """Print the options that only some backends read; the others refuse them."""
    from thcli.pipeline.option_table import option_rows

    rows: list[dict[str, Any]] = [
        {
            "command": row.command,
            "option": row.path,
            "flag": row.flag,
            "read_by": [name for name, read in row.backends.items() if read],
            "refused_by": [name for name, read in row.backends.items() if not read],
        }
        for row in option_rows()
    ]
    with Console(show) as console:
        console.table(
            ("command", "flag", "read by", "refused by"),
            [
                (r["command"], r["flag"], ", ".join(r["read_by"]), ", ".join(r["refused_by"]))
                for r in rows
            ],
            {"command": "list", "rows": rows},
        )


def _regions(show: ShowOptions) -> None:
    """Print the classes of face parsing: label value, name, colour, groups."""
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
    """Print the attributes of `thcli edit --attr`: backends, measured likelihood, licence."""
    from thcli.editors.catalogue import (
        believable,
        engines_for,
        load_measured_strengths,
        stage_of,
    )
    from thcli.editors.shared.attribute_table import ATTRIBUTES

    measured = load_measured_strengths()
    rows: list[dict[str, Any]] = []
    for row in ATTRIBUTES:
        added, removed = believable(row), believable(row, -1.0)
        backends = [name for name, _ in added[0]] if added else []
        facts = [_row(stage_of(name), name) for name in backends]
        scores = measured["attributes"].get(row.name)
        strength = "unmeasured"
        if not added:
            strength = "refused"
        elif scores and scores["by"] == "+".join(backends):
            strength = f"{scores['before']:.2f} to {scores['after']:.2f}"
        rows.append(
            {
                "name": row.name,
                "aliases": list(row.aliases),
                "about": row.about,
                "shapes": list(row.shapes),
                "by": backends,
                "removed_by": [name for name, _ in removed[0]] if removed else [],
                "others": [n for n in engines_for(row) if n not in backends],
                "strength": strength,
                "ready": next((f["ready"] for f in facts if f["ready"] != "yes"), "yes"),
                "licence": ", ".join(sorted({f["licence"] for f in facts})),
                "commercial": all(f["commercial"] for f in facts),
            }
        )
    with Console(show) as console:
        console.table(
            ("attribute", "what", "by", "removed by", "or by", "likelihood", "licence", "ready"),
            [
                (
                    r["name"],
                    _about(r),
                    "+".join(r["by"]) or "-",
                    "+".join(r["removed_by"]) or "-",
                    ", ".join(r["others"]),
                    r["strength"],
                    _short(r["licence"]),
                    r["ready"],
                )
                for r in rows
            ],
            {"command": "list", "measured_by": measured["command"], "rows": rows},
        )


def _about(row: Mapping[str, Any]) -> str:
    """Return what an attribute is, and the names of its shapes: NAME:SHAPE, :SHAPE."""
    shapes = ", ".join(f":{shape}" for shape in row["shapes"])
    return f"{row['about']}; {row['name']}{shapes}" if shapes else str(row["about"])


def _short(licence: str) -> str:
    """Return licences without their parentheses, each once."""
    return ", ".join(dict.fromkeys(part.split(" (")[0] for part in licence.split("), ")))


def _expressions(show: ShowOptions) -> None:
    """Print the expression sliders and the named expressions."""
    from thcli.core.expressions import EXPRESSIONS, SLIDERS

    rows: list[dict[str, Any]] = [
        {"name": name, "range": f"{spec.low:g}..{spec.high:g}", "about": spec.about}
        for name, spec in SLIDERS.items()
    ]
    rows += [
        {
            "name": name,
            "range": "expression",
            "about": ", ".join(f"{slider} {value:g}" for slider, value in values.items()),
        }
        for name, values in EXPRESSIONS.items()
    ]
    with Console(show) as console:
        console.table(
            ("name", "range", "about"),
            [(r["name"], r["range"], r["about"]) for r in rows],
            {"command": "list", "rows": rows},
        )
