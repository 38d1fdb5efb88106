"""Outputs that several processes encode in parts, which one of them joins.

A part begins where a segment of a resumable output begins (`media.writing.segments`), and has a
journal of its own beside the output. Joined, the parts are the journal of an interrupted run: the
same command with --resume completes the output, with the packets of a run in one process.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from thcli.core.errors import OutputError
from thcli.media.destination import hidden_sibling
from thcli.media.failures import to_output_error
from thcli.media.writing.journal import Journal, journal_folder
from thcli.media.writing.target import OutputTarget

SEGMENT_FRAMES = 48  # per segment, and most frames to repeat after an interruption


class PartComplete(Exception):  # the end of a part is no error
    """The frames of the surrounding `only_part` are encoded: the command goes no further."""


@dataclass(frozen=True, slots=True)
class Part:
    """Frames start..stop (exclusive) of an output, both at the begin of a segment.

    stop: None for the end of the output. A part of no frames ends before the first one is encoded.
    """

    start: int
    stop: int | None

    def path(self, target: Path) -> Path:
        """Return the path beside which the journal of this part of an output lies."""
        return hidden_sibling(target, f".part-{self.start:08d}{target.suffix}")


_part: ContextVar[Part | None] = ContextVar("part of an output", default=None)


@contextmanager
def only_part(part: Part) -> Iterator[None]:
    """Encode only a part of the resumable output that is written in the block.

    The command in the block then ends with `PartComplete`.
    """
    token = _part.set(part)
    try:
        yield
    finally:
        _part.reset(token)


def current_part() -> Part | None:
    """Return the part of the surrounding `only_part`, None outside of one."""
    return _part.get()


def plan_parts(frames: int, length: int) -> list[Part]:
    """Return the parts of an output.

    Args:
        frames: of the output, about: the last part ends with the output.
        length: least frames in a part, rounded up to whole segments.
    """
    step = -(-length // SEGMENT_FRAMES) * SEGMENT_FRAMES
    starts = range(0, max(frames, 1), step)
    return [Part(start, start + step) for start in starts[:-1]] + [Part(starts[-1], None)]


def can_have_parts(target: Path) -> bool:
    """Return True if an output is a video, whose segments can be joined. Raises UsageError."""
    output = OutputTarget(target, overwrite=True)
    return output.kind == "container" and output.muxer not in ("gif", "webp")


def work_folder(target: Path) -> Path:
    """Return the folder beside an output in which its parts share what pass 1 found."""
    return hidden_sibling(target, ".thcli-parts")


def join_parts(target: Path, parts: Sequence[Part]) -> None:
    """Make the journal of an output from those of its parts; the same parts may be joined again.

    Frames that no part holds are left to the run that completes the output.

    Args:
        target: the output.
        parts: all of them, in order.

    Raises:
        OutputError: the parts do not belong together, or the journal cannot be written.
    """
    whole = Journal(target, "")
    for part in parts:
        journal = Journal.read(part.path(target))
        if not journal.segments or part.start != whole.done:
            return  # the output ended before, or an earlier join has completed it
        if part.start == 0:
            whole.key, whole.begun = journal.key, journal.begun
        if journal.key != whole.key:
            raise OutputError(
                f"The parts of {target} were made with different weights, devices or libraries.",
                "Use machines that are set up alike.",
            )
        try:
            whole.folder.mkdir(exist_ok=True)
            for number, segment in enumerate(journal.segments):
                file = journal.segment(number)
                if file.exists():  # else an earlier join has moved it
                    file.replace(whole.segment(len(whole.segments)))
                whole.segments.append(segment)
            whole.save()
        except OSError as exc:
            raise to_output_error(whole.folder, exc) from exc


def remove_work(target: Path, parts: Sequence[Part]) -> None:
    """Remove what parts have left beside an output."""
    for folder in (work_folder(target), *(journal_folder(part.path(target)) for part in parts)):
        shutil.rmtree(folder, ignore_errors=True)
