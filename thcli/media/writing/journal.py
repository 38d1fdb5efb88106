"""Journal of a resumable output: its complete segments with their checksums, beside the target.

    .NAME.thcli-resume/journal          lines of JSON, see below
    .NAME.thcli-resume/000000.packets   the segments, see `segments`
    .NAME.thcli-resume/whole.SUFFIX     the output while it is muxed

The first line of the journal identifies the job, and each following one a complete segment. A line
begins with the SHA-256 of its JSON and of the line before it, so that the lines up to the first
damaged one are certain. What follows is rendered again, as is what follows the first damaged
segment. The running job holds the lock of the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from thcli.core.errors import OutputError
from thcli.core.events import Listener, Warned
from thcli.core.file_lock import FolderLock, lock_folder
from thcli.core.temp_folders import remove_path
from thcli.media.destination import hidden_sibling
from thcli.media.failures import to_output_error
from thcli.media.writing.timing import TimelineState

_VERSION = 2
_NAME = "journal"
_OLD_NAME = "journal.json"  # of version 1
_DIGEST_LENGTH = 64  # characters


@dataclass(frozen=True, slots=True)
class Segment:
    """A complete segment.

    size: in bytes.
    sha256: of the file.
    done: input frames that are encoded up to its end.
    delay: most frames by which a packet is decoded before it is displayed.
    state: of the timeline after `done` frames.
    """

    size: int
    sha256: str
    done: int
    delay: int
    state: TimelineState

    @classmethod
    def of(cls, path: Path, done: int, delay: int, state: TimelineState) -> Segment:
        """Describe a file that is complete."""
        return cls(path.stat().st_size, _hash_file(path), done, delay, state)

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> Segment:
        """Read a line of the journal."""
        return cls(**{**stored, "state": TimelineState(**stored["state"])})

    def holds(self, path: Path) -> bool:
        """Return True if a file is this segment."""
        return (
            path.is_file() and path.stat().st_size == self.size and _hash_file(path) == self.sha256
        )


class Journal:
    """Progress of a resumable job, written to disk after every segment.

    folder: of journal and segments.
    key: hash of all that determines the result.
    segments: the complete ones.
    begun: arguments of `Sink.begin`, None before the first frame.
    """

    def __init__(self, target: Path, key: str, start: int = 0) -> None:
        self.folder, self.key = journal_folder(target), key
        self._start = start  # number of the first frame
        self.segments: list[Segment] = []
        self.begun: tuple[Fraction, Fraction] | None = None
        self._target = target
        self._found: tuple[list[dict[str, Any]], bool] = ([], True)
        self._digest = ""
        self._lock = FolderLock(None)

    @classmethod
    def open(cls, target: Path, parts: Sequence[str], on: Listener, start: int = 0) -> Journal:
        """Open the journal of an interrupted run of the same job, or a new one.

        Args:
            target: the output, beside which the journal is stored.
            parts: all that determines the result, as text.
            on: receives warnings.
            start: input frames before the first segment, in a part of an output.

        Raises:
            OutputError: the folder cannot be read.
        """
        key = hashlib.sha256(json.dumps([_VERSION, *parts]).encode()).hexdigest()
        journal = cls(target, key, start)
        try:
            journal._load(on)
        except OSError as exc:
            raise to_output_error(journal.folder, exc) from exc
        return journal

    @classmethod
    def read(cls, target: Path) -> Journal:
        """Read a journal up to its first damage, without a look at its segments."""
        lines, _ = _read_lines(journal_folder(target) / _NAME)
        journal = cls(target, lines[0]["key"] if lines else "")
        if lines:
            lead, first = lines[0]["begun"]
            journal.begun = Fraction(lead), Fraction(first)
        journal.segments = [Segment.parse(line) for line in lines[1:]]
        return journal

    def start(self) -> None:
        """Begin to write: lock the folder, and remove what does not hold.

        Raises:
            OutputError: another process writes the target, or the folder cannot be written.
        """
        try:
            self._lock = _make_locked(self.folder, self._target)
            if _read_lines(self.folder / _NAME) != self._found:  # changed since `open`
                self._lock.release()
                raise busy_error(self._target)
            kept = {self.segment(number) for number in range(len(self.segments))}
            for path in set(self.folder.iterdir()) - kept:
                remove_path(path)
            if self.begun is not None:
                self.save()
        except OSError as exc:
            raise to_output_error(self.folder, exc) from exc

    @property
    def done(self) -> int:
        """Input frames that are encoded."""
        return self.segments[-1].done if self.segments else self._start

    @property
    def delay(self) -> int:
        """Most frames by which a packet is decoded before it is displayed."""
        return max((segment.delay for segment in self.segments), default=0)

    @property
    def state(self) -> TimelineState | None:
        """State of the timeline after `done` frames, None before the first."""
        if self.segments:
            return self.segments[-1].state
        return TimelineState() if self._start else None

    @property
    def partial(self) -> Path:
        """Path of the output while it is muxed."""
        return self.folder / f"whole{self._target.suffix}"

    def segment(self, number: int) -> Path:
        """Return the path of a segment, counted from 0."""
        return self.folder / f"{number:06d}.packets"

    def begin(self, lead: Fraction, first: Fraction) -> None:
        """Write the first line, unless an earlier run has begun.

        Args:
            lead, first: see `Sink.begin`.
        """
        if self.begun is None:
            self.begun = (lead, first)
            self.save()

    def add(self, segment: Segment) -> None:
        """Record a segment that is complete on disk."""
        self._append(asdict(segment))
        self.segments.append(segment)

    def check(self, number: int) -> None:
        """Raise OutputError unless a segment is still as it was written."""
        path = self.segment(number)
        if not self.segments[number].holds(path):
            raise OutputError(
                f"{path} was changed or removed by another program.",
                "Run the same command again: the frames from there on are rendered again.",
            )

    def record_result(self, result: Path) -> None:
        """Record the complete output before it is renamed; see `remove_finished`.

        Raises OutputError when the journal cannot be written.
        """
        try:
            self._append({"result": _identify(result)})
        except OSError as exc:
            raise to_output_error(self.folder, exc) from exc

    def remove(self) -> None:
        """Delete the segments, then the journal: what a kill leaves is known to be finished."""
        with suppress(OSError):  # what cannot be removed harms no complete output
            for path in self.folder.glob("*.packets"):
                path.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()

    def release(self) -> None:
        """End the work of this process; without a complete segment nothing is kept."""
        if self.segments:
            self._lock.release()
        else:
            self.remove()

    def _load(self, on: Listener) -> None:
        """Take over what an earlier run has left as far as it holds."""
        lines, intact = self._found = _read_lines(self.folder / _NAME)
        if lines and lines[0]["key"] == self.key:
            self._restore(lines, intact, on)
        elif reason := self._refusal(lines, intact):
            on(Warned(f"{self.folder.name} {reason}: the job restarts."))

    def _restore(self, lines: Sequence[Mapping[str, Any]], intact: bool, on: Listener) -> None:
        lead, first = lines[0]["begun"]
        self.begun = Fraction(lead), Fraction(first)
        for line in lines[1:]:
            if "result" in line:
                break
            segment = Segment.parse(line)
            if not segment.holds(self.segment(len(self.segments))):
                intact = False
                break
            self.segments.append(segment)
        if not intact:
            damage = f"Part of {self.folder.name} is damaged or missing"
            on(Warned(f"{damage}: the job continues after {self.done} frames."))

    def _refusal(self, lines: Sequence[Mapping[str, Any]], intact: bool) -> str:
        """Return why the work of an earlier run cannot be used, "" where it left none."""
        if (self.folder / _OLD_NAME).exists() or (lines and lines[0]["version"] != _VERSION):
            return "was written by another version of thcli"
        if lines:
            has_work = len(lines) > 1 or not intact
            return "belongs to a job with other inputs or options" if has_work else ""
        return "" if intact and not any(self.folder.glob("*.packets")) else "is damaged"

    def save(self) -> None:
        """Replace the journal on disk atomically."""
        self._digest = ""
        begun = [str(time) for time in self.begun or ()]
        header = {"version": _VERSION, "key": self.key, "begun": begun}
        lines = [self._line(line) for line in (header, *map(asdict, self.segments))]
        fresh = self.folder / f"{_NAME}.new"
        with fresh.open("wb") as file:
            file.write(b"".join(lines))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.folder / _NAME)

    def _append(self, stored: Mapping[str, Any]) -> None:
        with (self.folder / _NAME).open("ab") as file:
            file.write(self._line(stored))
            file.flush()
            os.fsync(file.fileno())

    def _line(self, stored: Mapping[str, Any]) -> bytes:
        """Return the next line."""
        text = json.dumps(stored)
        self._digest = _digest(self._digest, text.encode())
        return f"{self._digest} {text}\n".encode()


def journal_folder(target: Path) -> Path:
    """Return the folder of the journal of an output."""
    return hidden_sibling(target, ".thcli-resume")


def remove_finished(target: Path) -> None:
    """Remove the journal of an output that was completed by a process that was killed then."""
    folder = journal_folder(target)
    if not folder.is_dir():
        return
    lines, _ = _read_lines(folder / _NAME)
    is_result = bool(lines) and lines[-1].get("result") == _identify(target)
    if is_result or not any(folder.iterdir()):
        lock = lock_folder(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()


def _make_locked(folder: Path, target: Path) -> FolderLock:
    """Make a folder, if it is absent, and lock it."""
    while True:
        folder.mkdir(exist_ok=True)
        lock = lock_folder(folder)
        if lock is not None:
            return lock
        if folder.exists():
            raise busy_error(target)
        # the other process has just removed it


def busy_error(target: Path) -> OutputError:
    """Return the error for an output that another process writes."""
    return OutputError(
        f"{target} is being written by another process.",
        "Wait until it has ended, or choose another output with -o.",
    )


def _read_lines(journal: Path) -> tuple[list[dict[str, Any]], bool]:
    """Read the lines up to the first damaged one.

    Returns:
        The lines, and False when the file is damaged. The beginning of a line at the end is no
        damage: the process was killed while it wrote it.
    """
    if not journal.is_file():
        return [], True
    data = journal.read_bytes()
    found: list[dict[str, Any]] = []
    digest = ""
    for line in data.split(b"\n")[:-1]:
        text = line[_DIGEST_LENGTH + 1 :]
        digest = _digest(digest, text)
        if line[: _DIGEST_LENGTH + 1] != f"{digest} ".encode():
            return found, False
        found.append(json.loads(text))
    return found, bool(data)


def _digest(previous: str, text: bytes) -> str:
    return hashlib.sha256(previous.encode() + text).hexdigest()


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _identify(path: Path) -> list[int]:
    """Return what a file keeps when it is renamed."""
    stat = path.stat()
    return [stat.st_ino, stat.st_size, stat.st_mtime_ns]
