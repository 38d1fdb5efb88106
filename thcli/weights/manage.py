"""What the rest of thcli asks of the weights: locate, pull, verify, import, where, remove."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from thcli.core.errors import UsageError, WeightsError
from thcli.core.events import Finished, Listener, Started, Step, Warned, silent
from thcli.weights.file_checks import is_safetensors, sha256_of
from thcli.weights.lock import locked
from thcli.weights.registry import PICKLES, Entry, find, select
from thcli.weights.store import Status, Store, altered, writing

if TYPE_CHECKING:
    from thcli.weights.sources import Means


@dataclass(frozen=True, slots=True)
class Checked:
    """What verify found. differences: (file, expected sha256, seen sha256) of each altered file."""

    entry: Entry
    status: Status
    path: Path
    differences: tuple[tuple[str, str, str], ...] = ()


def locate(
    name: str,
    *,
    offline: bool = False,
    trust: bool = False,
    fetch: bool = True,
    on: Listener = silent,
    store: Store | None = None,
) -> Path:
    """The verified local file of an entry (of an archive: the folder of its members).

    An entry marked auto is fetched on first use, unless offline (or THCLI_OFFLINE) or not fetch.  trust: take a file of unknown
    hash as it lies there.  Raises WeightsError whose hint is the command that gets it, UsageError for an unknown name.
    """
    store = store or Store.default()
    entry = find(store.entries, name)
    status = store.status(entry)
    if status == "unverified" and trust:
        _trust_present(store, entry)
        status = "ready"
    if status == "ready":
        return store.path(entry)
    if status == "altered":
        raise altered(store, entry)
    if status == "unverified":
        raise WeightsError(
            f"{store.path(entry)} has no known hash.",
            f"If you trust it: thcli weights verify {name} --trust",
        )
    if entry.auto and fetch:
        return pull([name], offline=offline, on=on, store=store)[name]
    from thcli.weights.sources import by_hand

    if not entry.sources:
        raise by_hand(entry)
    terms = "" if entry.commercial else f" ({entry.licence}: read its terms)"
    flag = "" if store.expected_download(entry) else " --trust"
    raise WeightsError(
        f"The weights {name} are not here{terms}.", f"Get them: thcli weights pull {name}{flag}"
    )


def pull(
    names: Sequence[str],
    *,
    offline: bool = False,
    trust: bool = False,
    on: Listener = silent,
    store: Store | None = None,
    means: Means | None = None,
) -> dict[str, Path]:
    """Brings each of the names ("provides" values name groups) into the cache; name -> path.

    What is there and right is left alone.  trust: accept entries without a published hash and record the hash seen.
    Raises UsageError for an unknown name, WeightsError when a file cannot be had or is not the right one, OutputError when the
    cache cannot be written.
    """
    from thcli.weights.sources import bring

    store = store or Store.default()
    chosen = select(store.entries, list(names))
    return {
        e.name: bring(store, e, offline=offline, trust=trust, on=on, means=means) for e in chosen
    }


def verify(
    names: Sequence[str] = (),
    *,
    trust: bool = False,
    on: Listener = silent,
    store: Store | None = None,
) -> list[Checked]:
    """Hashes the files of the names again (none: of all that is here).

    trust: records the hash of what has no known one. An absent entry is reported, not raised.
    """
    store = store or Store.default()
    chosen = select(store.entries, list(names)) if names else _present(store)
    began = time.monotonic()
    on(Started("verify", len(chosen), "files"))
    found = []
    for done, entry in enumerate(chosen):
        status = store.status(entry, again=True)
        if status == "unverified" and trust:
            _trust_present(store, entry)
            status = "ready"
        wrong = tuple(store.differences(entry)) if status == "altered" else ()
        found.append(Checked(entry, status, store.path(entry), wrong))
        on(Step("verify", done + 1))
    on(Finished("verify", len(chosen), time.monotonic() - began))
    return found


def import_file(
    name: str, path: Path, *, trust: bool = False, on: Listener = silent, store: Store | None = None
) -> Path:
    """Takes a file of the user's own as that entry: a copy is checked, an archive unpacked, a pickle converted once.

    trust: also take a file of unknown hash, or another one than the published (own training, say): a warning tells, and its hash
    is enforced from then on.  Raises WeightsError for a wrong or unknown hash without trust, or a file that cannot be loaded
    safely; then nothing is kept.
    """
    from thcli.weights.landing import land, vet

    store = store or Store.default()
    entry = find(store.entries, name)
    if store.is_bundled(entry) and not trust:
        raise UsageError(
            f"{name} is part of thcli: there is nothing to import.",
            "With --trust a file of your own takes its place.",
        )
    try:
        path.open("rb").close()
    except OSError as exc:
        raise WeightsError(
            f"{path} cannot be read to import it as {name}: {exc.strerror}."
        ) from exc
    with writing(store.root), locked(store.lock(name), name, on):
        known = store.expected_download(entry)  # published, or what was trusted before
        own = trust and bool(known) and sha256_of(path) != known
        seen = vet(store, entry, path, trust=trust, own=own)
        if own:
            what = "the published file" if entry.sha256 else "the file of before"
            on(Warned(f"{name}: {path.name} is not {what}; it is taken as your own."))
        arrived = store.folder(entry) / f"{entry.file}.import.partial"
        arrived.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(path, arrived)
            if entry.format in PICKLES and not is_safetensors(arrived):
                from thcli.weights.pickles import convert

                convert(arrived, converted(store.folder(entry) / entry.file), seen)
            return land(store, entry, arrived, f"import:{path.name}", trust=trust, own=own)
        finally:
            arrived.unlink(missing_ok=True)


def where(name: str, *, store: Store | None = None) -> Path | None:
    """Where an entry's file (an archive's folder) is, checked or not; None when it is not here."""
    store = store or Store.default()
    entry = find(store.entries, name)
    return None if store.status(entry, deep=False) == "absent" else store.path(entry)


def present(name: str, *, store: Store | None = None) -> bool:
    """Whether an entry's files are here and known to be right. Fetches nothing and hashes only what was not checked yet."""
    store = store or Store.default()
    return store.status(find(store.entries, name)) == "ready"


def cache_folder() -> Path:
    """The folder that all fetched and imported weights lie in."""
    return Store.default().root


def remove(name: str, *, store: Store | None = None) -> bool:
    """Deletes an entry's files, and what was trusted of it; whether there was anything. Raises UsageError for a bundled one."""
    store = store or Store.default()
    entry = find(store.entries, name)
    if store.is_bundled(entry):
        raise UsageError(f"{name} is part of thcli and cannot be removed.")
    folder = store.folder(entry)
    if not folder.is_dir():
        return False
    with writing(store.root), locked(store.lock(name), name):
        shutil.rmtree(folder)
        if name in store.trusted():
            store.trust(entry, None)
    return True


def converted(pickle: Path) -> Path:
    """Where the safetensors made from a pickle in the cache lies."""
    return pickle.with_name(pickle.name + ".safetensors")


def _present(store: Store) -> list[Entry]:
    return [e for e in store.entries.values() if store.status(e, deep=False) != "absent"]


def _trust_present(store: Store, entry: Entry) -> None:
    """Records the hashes of files that lie in the cache already, where none is known."""
    seen = {file: digest for file, _, digest in store.differences(entry)}
    known = {file: digest for file, digest in store.expected(entry).items() if digest}
    wrong = sorted(set(seen) & set(known))
    if wrong:
        raise altered(store, entry)
    if entry.archive:
        store.trust(
            entry,
            {
                **store.trusted().get(entry.name, {}),
                "files": {**known, **seen},
                "source": "present",
            },
        )
    else:
        store.trust(entry, {"sha256": seen[entry.file], "source": "present"})
    store.stamp(entry)
