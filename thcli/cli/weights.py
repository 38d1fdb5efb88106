"""`thcli weights`: list, download, verify, locate, import, export and remove weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from thcli.cli.console import Console, complain
from thcli.cli.flags import flags
from thcli.core.byte_sizes import size_text
from thcli.core.errors import ThcliError, WeightsError
from thcli.core.events import Warned
from thcli.core.options import Licence, ShowOptions

if TYPE_CHECKING:
    from thcli.weights import Verification, WeightsEntry, WeightsStore

app = typer.Typer(
    help="List, download, verify and import weights.", no_args_is_help=True, rich_markup_mode=None
)

Names = Annotated[
    list[str] | None,
    typer.Argument(
        help="Names of 'thcli weights list', or backends (liveportrait, engine:liveportrait)."
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Accept files without a published hash; their hash is recorded and enforced later.",
    ),
]


@app.command("list")
@flags
def listing(
    licence: Annotated[
        Licence,
        typer.Option(help="free: only weights whose owner allows every use, commercial too."),
    ] = "any",
    *,
    show: ShowOptions,
) -> None:
    """List all weights: size, licence, state and the backend that loads them."""
    from thcli import weights

    store = weights.WeightsStore.default()
    entries = [e for e in store.entries.values() if weights.is_allowed(e, licence)]
    rows = [_describe_entry(store, entry) for entry in entries]
    with Console(show) as console:
        console.table(
            ("name", "size", "licence", "use", "state", "provides"),
            [
                (
                    r["name"],
                    _size(r["size"]),
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
        bool, typer.Option("--all-default", help="Weights of the defaults, as without a name.")
    ] = False,
    trust: Trust = False,
    offline: Annotated[bool, typer.Option("--offline", help="Do not use a network.")] = False,
    *,
    show: ShowOptions,
) -> None:
    """Download weights and check their hash. Without a name: those that the defaults need."""
    from thcli import weights

    store = weights.WeightsStore.default()
    wanted = [e.name for e in store.entries.values() if e.auto] if all_default or not names else []
    chosen = weights.select_entries(store.entries, [*wanted, *(names or [])], _backend_weights())
    rows, failed = [], []
    with Console(show) as console:
        for entry in chosen:
            if store.status(entry) != "ready" and entry.remote_sources:
                console.say(f"{entry.name}: {_describe_download(entry)}")
            try:
                paths = weights.pull(
                    [entry.name], offline=offline, trust=trust, on=console, store=store
                )
                rows.append({"name": entry.name, "path": str(paths[entry.name])})
            except ThcliError as error:  # the other downloads may still succeed
                failed.append(error)
        ready = f"{len(rows)} of {len(chosen)} are ready in {store.root}."
        console.result(
            {"command": "weights pull", "weights": rows, "failed": [str(e) for e in failed]},
            ready if chosen else f"{', '.join(names or [])}: no weights are needed.",
        )
    _raise_first(failed)


@app.command()
@flags
def verify(names: Names = None, trust: Trust = False, *, show: ShowOptions) -> None:
    """Hash the files again and compare. Without a name: all that are present."""
    from thcli import weights

    store = weights.WeightsStore.default()
    chosen = weights.select_entries(store.entries, names or (), _backend_weights())
    with Console(show) as console:
        results = weights.verify(
            [e.name for e in chosen] if names else (), trust=trust, on=console, store=store
        )
        rows = [
            {
                "name": r.entry.name,
                "state": r.status,
                "path": str(r.path),
                "differences": list(r.differences),
            }
            for r in results
        ]
        console.table(
            ("name", "state", "path"),
            [(r["name"], r["state"], r["path"]) for r in rows],
            {"command": "weights verify", "weights": rows},
        )
    _raise_first([_status_error(store, r) for r in results if r.status != "ready"])


@app.command()
@flags
def where(
    name: Annotated[
        str | None, typer.Argument(help="A name; without one: the folder of all.")
    ] = None,
    *,
    show: ShowOptions,
) -> None:
    """Print the path of a file of weights."""
    from thcli import weights

    path = weights.cached_path(name) if name else weights.cache_folder()
    if path is None and name:
        store = weights.WeightsStore.default()
        raise weights.absent_error(store, store.entries[name])
    with Console(show) as console:
        console.table(
            ("path",), [(path,)], {"command": "weights where", "name": name, "path": path}
        )


@app.command("import")
@flags
def import_(
    name: Annotated[
        str, typer.Argument(help="Name of 'thcli weights list' to import as, or a backend.")
    ],
    file: Annotated[
        Path,
        typer.Argument(
            help="The file, which is copied; of bfm and of a backend the folder of its files."
        ),
    ],
    trust: Trust = False,
    *,
    show: ShowOptions,
) -> None:
    """Import a file of your own: hash and tensors are checked, pickles become safetensors.

    Of bfm a folder is imported, whose files become one file of safetensors. The files of a backend
    with several weights (liveportrait) are found in a folder by their published names.
    """
    from thcli import weights
    from thcli.cli.layouts import folder_converters, layout_checks

    store = weights.WeightsStore.default()
    files = weights.files_to_import(name, file, _backend_weights())
    checks, converters = layout_checks(), folder_converters()
    rows, failed = [], []
    with Console(show) as console:
        for entry, each in files.items():
            try:
                path = weights.import_file(
                    entry, each, trust=trust, checks=checks, converters=converters, on=console
                )
                rows.append({"name": entry, "path": str(path)})
            except ThcliError as error:  # the other files may be good
                failed.append(error)
        missing = _missing(store, name) if len(files) > 1 or name not in files else []
        if missing and rows:
            console(Warned(f"{name} needs these too: {', '.join(missing)}."))
        if rows:
            console.result(
                {
                    "command": "weights import",
                    **(rows[0] if len(files) == 1 else {}),
                    "weights": rows,
                    "failed": [str(error) for error in failed],
                },
                "\n".join(f"{row['name']}: {row['path']}" for row in rows),
            )
    _raise_first(failed)


@app.command()
@flags
def export(
    name: Annotated[str, typer.Argument(help="Name of bundled weights with a network.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="ONNX file (default: NAME.onnx).")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.")
    ] = False,
    *,
    show: ShowOptions,
) -> None:
    """Write a bundled network as an ONNX file, compared with PyTorch."""
    import thcli

    with Console(show) as console:
        done = thcli.export_onnx(name, output or Path(f"{name}.onnx"), overwrite=overwrite)
        console.result(
            {
                "command": "weights export",
                "name": name,
                "path": str(done.path),
                "inputs": list(done.inputs),
                "outputs": list(done.outputs),
                "difference": done.difference,
            },
            f"{done.path}: {', '.join(done.inputs)} -> {', '.join(done.outputs)}; differs from "
            f"PyTorch by {done.difference:.1g}.",
        )


@app.command()
@flags
def remove(
    names: Annotated[list[str], typer.Argument(help="Names of 'thcli weights list'.")],
    *,
    show: ShowOptions,
) -> None:
    """Delete weights from the cache, and the record of hashes that you trusted."""
    from thcli import weights

    with Console(show) as console:
        removed = [name for name in names if weights.remove(name)]
        console.result(
            {"command": "weights remove", "removed": removed},
            f"Removed: {', '.join(removed) or 'nothing was present'}.",
        )


def _backend_weights() -> dict[str, tuple[str, ...]]:
    """Return the weights of each backend, by "stage:backend" and by the backend's name alone.

    Backends of several stages may have one name; their weights are joined.
    """
    from thcli.pipeline.backends import STAGES

    groups: dict[str, tuple[str, ...]] = {}
    for stage in STAGES.values():
        for name, backend in stage.rows.items():
            groups[f"{stage.name}:{name}"] = backend.weights
            groups[name] = (*groups.get(name, ()), *backend.weights)
    return groups


def _missing(store: WeightsStore, name: str) -> list[str]:
    """Return the weights of a backend that are absent and not downloaded at first use."""
    from thcli import weights

    chosen = weights.select_entries(store.entries, [name], _backend_weights())
    return [e.name for e in chosen if not e.auto and store.status(e, deep=False) == "absent"]


def _describe_entry(store: WeightsStore, entry: WeightsEntry) -> dict[str, Any]:
    """Return an entry as a row of the list."""
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


def _size(size: int) -> str:
    return size_text(size) if size else "?"


def _describe_download(entry: WeightsEntry) -> str:
    """Return size, host and licence of a download."""
    first = entry.remote_sources[0]
    kind, _, rest = first.partition(":")
    hosts = {
        "wheel": rest.split("/")[0],
        "hf": "huggingface.co",
        "gdrive": "drive.google.com",
    }
    terms = (
        entry.licence if entry.commercial else f"{entry.licence}; restricted use, read its terms"
    )
    return f"{_size(entry.size)} from {hosts.get(kind, urlsplit(first).netloc)} ({terms})"


def _status_error(store: WeightsStore, result: Verification) -> WeightsError:
    from thcli import weights

    if result.status == "altered":
        return weights.altered_error(store, result.entry)
    if result.status == "unverified":
        return weights.unverified_error(store, result.entry)
    return weights.absent_error(store, result.entry)


def _raise_first(errors: list[ThcliError]) -> None:
    """Report all errors; the first one gives the exit code."""
    for error in errors[1:]:
        complain(error)
    if errors:
        raise errors[0]
