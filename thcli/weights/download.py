"""Downloads: resumed, retried, limited in size, with progress events.

The received file is checked elsewhere, see install.py.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thcli.core.byte_sizes import size_text
from thcli.core.errors import OutputError, WeightsError
from thcli.core.events import Event, Finished, Listener, Started, Step, silent
from thcli.weights.file_checks import describe_placeholder
from thcli.weights.requests import (
    HttpSettings,
    HttpStatusError,
    IncompleteError,
    RemoteFile,
    failures,
    open_answer,
    wait_or_raise,
)
from thcli.weights.store import cache_write_errors

if TYPE_CHECKING:
    import httpx

MAX_FILE_BYTES = 64 << 30  # of one file, where the registry knows no size
ERROR_PAGE_BYTES = 1 << 20  # a page that replaces a file may be this large: its text is reported
FREE_DISK_MARGIN = 64 << 20  # bytes that must stay free on the disk
_STEP_SECONDS = 0.1  # between two progress events


@dataclass(frozen=True, slots=True)
class DownloadTarget:
    """Destination of a download, and what is known of the file.

    partial: file that receives the bytes.  stage: name in events and messages.
    size: bytes expected, 0 where unknown.
    key: identifies the file across runs, so that only a part of the same file is continued.
    hash_known: the hash will be checked afterwards. Without that, a part is continued only where
        the server confirms (ETag or date) that the file is unchanged.
    """

    partial: Path
    stage: str
    size: int = 0
    key: str = ""
    hash_known: bool = False

    @property
    def limit(self) -> int:
        """Return the largest size in bytes that is accepted."""
        return max(self.size, ERROR_PAGE_BYTES) if self.size else MAX_FILE_BYTES

    @property
    def note(self) -> Path:
        """Return the file that says which file the part belongs to."""
        return self.partial.with_name(self.partial.name + ".json")


def download(
    remote: RemoteFile, target: DownloadTarget, settings: HttpSettings, on: Listener = silent
) -> bool:
    """Download an address, continuing from the part that an earlier run left.

    Returns:
        True if an earlier part was continued.

    Raises:
        WeightsError: the server does not have the file, sends too much, or keeps failing.
        OutputError: the file does not fit on the disk, or cannot be written.
    """
    target.partial.parent.mkdir(parents=True, exist_ok=True)
    began, resumed, started = time.monotonic(), False, False

    def forward(event: Event) -> None:
        """Pass events on; only one Started for all attempts."""
        nonlocal started
        if not (started and isinstance(event, Started)):
            on(event)
        started |= isinstance(event, Started)

    for attempt in range(settings.attempts):
        try:
            resumed |= _receive(remote, target, settings, forward)
            break
        except failures() as exc:
            wait_or_raise(exc, remote, attempt, settings, on)
    target.note.unlink(missing_ok=True)
    on(Finished(target.stage, target.partial.stat().st_size, time.monotonic() - began))
    return resumed


def _receive(
    remote: RemoteFile, target: DownloadTarget, settings: HttpSettings, on: Listener
) -> bool:
    """Make one attempt. Returns True if a part was continued; raises what `failures` lists."""
    partial, key = target.partial, target.key or remote.url
    have, headers = _range_request(target, key)
    if target.size and have == target.size:
        return True
    try:
        with open_answer(remote, settings, headers) as response:
            start = _accepted_start(response, have)
            if start is None:
                partial.unlink(missing_ok=True)
                raise IncompleteError("the server sent another range than was requested")
            length = response.headers.get("Content-Length", "")
            total = start + int(length) if length.isdigit() else None
            _check_room(target, start, total)
            validator = response.headers.get("ETag") or response.headers.get("Last-Modified", "")
            with cache_write_errors(partial.parent):
                target.note.write_text(json.dumps({"key": key, "validator": validator}), "utf-8")
            on(Started(target.stage, total or target.size or None, "bytes"))
            _copy_body(response, target, start, total, on)
    except HttpStatusError as exc:
        if exc.status == 416:  # the part is longer than the file, so it is another file's
            partial.unlink(missing_ok=True)
            raise IncompleteError("the file is shorter than the part received before") from exc
        raise
    return start > 0


def _range_request(target: DownloadTarget, key: str) -> tuple[int, dict[str, str]]:
    """Return the bytes of this file that are there, and the headers that request the rest."""
    partial = target.partial
    have = partial.stat().st_size if partial.is_file() else 0
    note: dict[str, Any] = {}
    if have and target.note.is_file():
        try:
            note = json.loads(target.note.read_text("utf-8"))
        except ValueError:  # the note was cut off while it was written: start again
            note = {}
    if not have or note.get("key") != key or describe_placeholder(partial):
        return 0, {}
    validator = str(note.get("validator", ""))
    if validator and not validator.startswith("W/"):  # weak ones do not hold for ranges
        return have, {"Range": f"bytes={have}-", "If-Range": validator}
    return (have, {"Range": f"bytes={have}-"}) if target.hash_known else (0, {})


def _accepted_start(response: httpx.Response, have: int) -> int | None:
    """Return the offset of the answer's first byte: `have`, 0, or None for any other range."""
    if response.status_code != 206:
        return 0
    given = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return have if have and given.isdigit() and int(given) == have else None


def _check_room(target: DownloadTarget, start: int, total: int | None) -> None:
    """Raise WeightsError for a file that is too large, OutputError for a disk that is too full."""
    if total is not None and total > target.limit:
        expected = target.size or f"at most {MAX_FILE_BYTES}"
        raise WeightsError(f"{target.stage}: the server offers {total} bytes, expected {expected}.")
    need = (total or target.size or start) - start + FREE_DISK_MARGIN
    free = shutil.disk_usage(target.partial.parent).free
    if need > free:
        raise OutputError(
            f"{target.stage} needs {size_text(need)} in {target.partial.parent}, where "
            f"{size_text(free)} are free.",
            "Free some space, or set THCLI_WEIGHTS to a folder on another disk.",
        )


def _copy_body(
    response: httpx.Response, target: DownloadTarget, start: int, total: int | None, on: Listener
) -> None:
    """Append the answer's body to the part. Raises IncompleteError when it ends early."""
    import httpx

    done, reported = start, 0.0
    with cache_write_errors(target.partial.parent):
        sink = target.partial.open("ab" if start else "wb", buffering=0)
    with sink:
        try:
            for block in response.iter_raw():
                with cache_write_errors(target.partial.parent):
                    sink.write(block)
                done += len(block)
                if done > target.limit:
                    raise WeightsError(
                        f"{target.stage}: the server sends more than the expected "
                        f"{target.limit} bytes."
                    )
                if time.monotonic() - reported > _STEP_SECONDS:
                    reported = time.monotonic()
                    on(Step(target.stage, done))
        except httpx.RemoteProtocolError as exc:
            raise IncompleteError(
                f"the connection ended after {done} of {total or 'unknown'} bytes"
            ) from exc
    if total is not None and done < total:
        raise IncompleteError(f"the connection ended after {done} of {total} bytes")
