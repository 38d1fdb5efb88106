"""`thcli weights`: what there is, what is here, and how it gets here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from thcli.cli.console import Console, complain
from thcli.cli.flags import flags
from thcli.core.errors import ThcliError, WeightsError
from thcli.core.options import Licence, ShowOptions

if TYPE_CHECKING:
    from thcli.weights import Checked, Entry, Store

app = typer.Typer(
    help="List, fetch, check and import weights.", no_args_is_help=True, rich_markup_mode=None
)

Names = Annotated[
    list[str] | None,
    typer.Argument(
        help="Names of 'thcli weights list', or what they provide (engine:liveportrait)."
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Take what has no published hash; the hash seen is recorded and enforced from then on.",
    ),
]


@app.command("list")
@flags
def listing(
    licence: Annotated[
        Licence,
        typer.Option(help="free: only what the owner lets everybody use, commercially too."),
    ] = "any",
    *,
    show: ShowOptions,
) -> None:
    """List all weights: size, licence, whether they are here, what they are for."""
    from thcli import weights

    store = weights.Store.default()
    rows = [
        _facts(store, entry) for entry in store.entries.values() if weights.allowed(entry, licence)
    ]
    with Console(show) as console:
        console.table(
            ("name", "size", "licence", "use", "state", "provides"),
            [
                (
                    r["name"],
                    _megabytes(r["size"]),
                    r["licence"],
                    "free" if r["commercial"] else "restricted",
                    r["state"],
                    r["provides"],
                )
                for r in rows
            ],
            {"command": "weights list", "folder": store.root, "weights": rows},
        )


@app.command()
@flags
def pull(
    names: Names = None,
    all_default: Annotated[
        bool, typer.Option("--all-default", help="What the defaults need; the same as no name.")
    ] = False,
    trust: Trust = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never touch a network.")] = False,
    *,
    show: ShowOptions,
) -> None:
    """Fetch weights, check their hash and keep them. Without a name: the small free ones that the defaults need."""
    from thcli import weights

    store = weights.Store.default()
    wanted = [e.name for e in store.entries.values() if e.auto] if all_default or not names else []
    chosen = weights.select(store.entries, [*wanted, *(names or [])])
    rows, failed = [], []
    with Console(show) as console:
        for entry in chosen:
            if store.status(entry) != "ready" and entry.sources:
                console.say(f"{entry.name}: {_terms(entry)}")
            try:
                paths = weights.pull(
                    [entry.name], offline=offline, trust=trust, on=console, store=store
                )
                rows.append({"name": entry.name, "path": str(paths[entry.name])})
            except ThcliError as error:  # the others may still come
                failed.append(error)
        console.result(
            {"command": "weights pull", "weights": rows, "failed": [str(e) for e in failed]},
            f"{len(rows)} of {len(chosen)} are ready in {store.root}.",
        )
    _raise_first(failed)


@app.command()
@flags
def verify(names: Names = None, trust: Trust = False, *, show: ShowOptions) -> None:
    """Hash the files again and compare. Without a name: all that are here."""
    from thcli import weights

    with Console(show) as console:
        checked = weights.verify(names or (), trust=trust, on=console)
        rows = [
            {
                "name": c.entry.name,
                "state": c.status,
                "path": str(c.path),
                "differences": list(c.differences),
            }
            for c in checked
        ]
        console.table(
            ("name", "state", "path"),
            [(r["name"], r["state"], r["path"]) for r in rows],
            {"command": "weights verify", "weights": rows},
        )
    _raise_first([_verdict(c) for c in checked if c.status != "ready"])


@app.command()
@flags
def where(
    name: Annotated[
        str | None, typer.Argument(help="A name; without one: the folder of all.")
    ] = None,
    *,
    show: ShowOptions,
) -> None:
    """Print where a file of weights is."""
    from thcli import weights

    path = weights.where(name) if name else weights.cache_folder()
    if path is None:
        raise WeightsError(
            f"The weights {name} are not here.", f"Get them: thcli weights pull {name}"
        )
    with Console(show) as console:
        console.table(
            ("path",), [(path,)], {"command": "weights where", "name": name, "path": path}
        )


@app.command("import")
@flags
def import_(
    name: Annotated[str, typer.Argument(help="The name that the file is to serve as.")],
    file: Annotated[Path, typer.Argument(help="The file; it is copied.")],
    trust: Trust = False,
    *,
    show: ShowOptions,
) -> None:
    """Take a file of your own as one of the weights: checked, and pickles converted to safetensors."""
    from thcli import weights

    with Console(show) as console:
        path = weights.import_file(name, file, trust=trust, on=console)
        console.result(
            {"command": "weights import", "name": name, "path": str(path)}, f"{name}: {path}"
        )


@app.command()
@flags
def remove(
    names: Annotated[list[str], typer.Argument(help="Names of 'thcli weights list'.")],
    *,
    show: ShowOptions,
) -> None:
    """Delete weights from the cache, and forget what was trusted of them."""
    from thcli import weights

    with Console(show) as console:
        gone = [name for name in names if weights.remove(name)]
        console.result(
            {"command": "weights remove", "removed": gone},
            f"Removed: {', '.join(gone) or 'nothing was there'}.",
        )


def _facts(store: Store, entry: Entry) -> dict[str, Any]:
    """An entry as a row of the list."""
    state: str = store.status(entry, deep=entry.auto or store.is_bundled(entry))
    if state == "ready" and store.is_own(entry):
        state = "ready (your own)"
    if state == "absent":
        state = "at first use" if entry.auto else "absent" if entry.sources else "by hand"
    return {
        "name": entry.name,
        "file": entry.file,
        "size": entry.size,
        "sha256": entry.sha256,
        "licence": entry.licence,
        "commercial": entry.commercial,
        "provides": entry.provides,
        "format": entry.format,
        "state": state,
        "path": str(store.path(entry)),
        "trained_on": entry.trained_on,
        "figures": entry.figures,
        "sources": list(entry.sources),
        "about": entry.about,
    }


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size else "?"


def _terms(entry: Entry) -> str:
    """What is about to be fetched, and under which licence."""
    first = entry.sources[0]
    kind, _, rest = first.partition(":")
    origin = {
        "wheel": rest.split("/")[0],
        "hf": "huggingface.co",
        "gdrive": "drive.google.com",
    }.get(kind, urlsplit(first).netloc)
    terms = (
        entry.licence if entry.commercial else f"{entry.licence}; restricted use, read its terms"
    )
    return f"{_megabytes(entry.size)} from {origin} ({terms})"


def _verdict(checked: Checked) -> ThcliError:
    name = checked.entry.name
    if checked.status == "altered":
        file, expected, seen = checked.differences[0]
        return WeightsError(
            f"{name}: {file} is altered: sha256 is {seen}, expected {expected}.",
            f"Get it again: thcli weights remove {name} && thcli weights pull {name}",
        )
    if checked.status == "unverified":
        return WeightsError(
            f"{name}: nobody knows its hash.",
            f"If you trust it: thcli weights verify {name} --trust",
        )
    return WeightsError(f"{name} is not here.", f"Get it: thcli weights pull {name}")


def _raise_first(errors: list[ThcliError]) -> None:
    """Tells all failures; the first one gives the exit code."""
    for error in errors[1:]:
        complain(error)
    if errors:
        raise errors[0]
