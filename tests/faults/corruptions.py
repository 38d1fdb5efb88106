"""Damage to what an interrupted job has left: journal and segments of --resume."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

Corruption = Callable[[Path, Random], None]
"""Changes the folder of a journal at a random place."""


def _segment(folder: Path, rng: Random) -> Path:
    written = [path for path in folder.glob("*.packets") if path.stat().st_size]
    return rng.choice(sorted(written))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path, rng: Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data))])


def _flip(path: Path, rng: Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] ^= rng.randint(1, 255)
    path.write_bytes(data)


def _grow(path: Path, rng: Random) -> None:
    path.write_bytes(path.read_bytes() + rng.randbytes(40))


def _swap_segments(folder: Path, rng: Random) -> None:
    paths = sorted(folder.glob("*.packets"))
    first, second = (paths * 2)[:2]
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)


def _lines(folder: Path, change: Callable[[list[bytes]], None]) -> None:
    path = folder / "journal"
    lines = path.read_bytes().splitlines(keepends=True)
    change(lines)
    path.write_bytes(b"".join(lines))


def _edit_count(folder: Path, rng: Random) -> None:
    """Claim other numbers of frames, with the checksums left alone."""
    path = folder / "journal"
    path.write_bytes(
        path.read_bytes().replace(b'"done": ', f'"done": {rng.randint(1, 9)}'.encode())
    )


def _edit_version(folder: Path, rng: Random) -> None:
    path = folder / "journal"
    path.write_bytes(path.read_bytes().replace(b'"version": ', b'"version": 9'))


def _remove_journal(folder: Path, rng: Random) -> None:
    (folder / "journal").unlink()


def _write_old_journal(folder: Path, rng: Random) -> None:
    """Leave the folder as the first version of the format had it."""
    (folder / "journal").unlink()
    stored = {"key": "0" * 64, "done": 48, "segments": 1, "delay": 0, "begun": None, "moment": None}
    (folder / "journal.json").write_text(json.dumps(stored))


def _write_garbage(folder: Path, rng: Random) -> None:
    (folder / "journal").write_bytes(rng.choice([b"{}", b"[1, 2", b"\xff\xfe\n", b"null\n", b"\n"]))


def _add_strangers(folder: Path, rng: Random) -> None:
    """Add files that no journal names."""
    (folder / "000099.packets").write_bytes(rng.randbytes(100))
    (folder / "notes").mkdir()


CORRUPTIONS: Mapping[str, Corruption] = {
    "segment emptied": lambda folder, rng: _empty(_segment(folder, rng)),
    "segment cut": lambda folder, rng: _cut(_segment(folder, rng), rng),
    "segment flipped": lambda folder, rng: _flip(_segment(folder, rng), rng),
    "segment grown": lambda folder, rng: _grow(_segment(folder, rng), rng),
    "segment deleted": lambda folder, rng: _segment(folder, rng).unlink(),
    "segments swapped": _swap_segments,
    "strangers added": _add_strangers,
    "journal emptied": lambda folder, rng: _empty(folder / "journal"),
    "journal cut": lambda folder, rng: _cut(folder / "journal", rng),
    "journal flipped": lambda folder, rng: _flip(folder / "journal", rng),
    "journal grown": lambda folder, rng: _grow(folder / "journal", rng),
    "journal deleted": _remove_journal,
    "journal line deleted": lambda folder, rng: _lines(folder, lambda lines: lines.__delitem__(1)),
    "journal line repeated": lambda folder, rng: _lines(folder, lambda s: s.append(s[-1])),
    "journal lines reversed": lambda folder, rng: _lines(folder, lambda lines: lines.reverse()),
    "journal count edited": _edit_count,
    "journal of the future": _edit_version,
    "journal of the past": _write_old_journal,
    "journal of garbage": _write_garbage,
}
