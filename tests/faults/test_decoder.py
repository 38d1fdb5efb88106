"""A decoder that fails in the middle: what was decoded is kept and told, or the command ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import av
import pytest

from tests.faults.bad_decoder import BadDecoder
from tests.faults.commands import FRAMES, VERBS
from tests.faults.inject import execute
from thcli.motion.file.reader import MotionFile

READS = [name for name in VERBS if name not in ("speak", "warp")]  # those two decode no video
DROP = 3  # packets of the clip from which on nothing is decoded


def count_frames(path: Path) -> int:
    """Return the frames of a result: of a video, motion or lines."""
    if path.suffix == ".mkv":
        with av.open(str(path)) as container:
            return sum(1 for _ in container.decode(video=0))
    if path.suffix == ".jsonl":
        return sum("faces" in json.loads(line) for line in path.read_text().splitlines())
    return len(MotionFile(path))


def run_and_clear(name: str, room: Path, folder: Path, plan: BadDecoder) -> tuple[int, str, int]:
    """Run a verb and return its exit code, stderr, and the frames of its result."""
    verb = VERBS[name]
    outcome = execute(verb.argv(room), folder, plan)
    assert "Traceback" not in outcome.said, outcome.said
    if outcome.code:
        outcome.require_failure(3)
        return 3, outcome.said, 0
    assert outcome.temporary == () and verb.output in outcome.beside
    return 0, outcome.said, count_frames(folder / "out" / verb.output)


@pytest.mark.parametrize("demux", [False, True], ids=["decoding", "reading"])
@pytest.mark.parametrize("name", READS)
def test_a_clip_that_ends_in_damage_keeps_what_was_decoded(
    name: str, demux: bool, room: Path, tmp_path: Path
) -> None:
    code, said, frames = run_and_clear(name, room, tmp_path, BadDecoder(DROP, demux=demux))
    assert f"is damaged: {FRAMES - DROP} packets were not decoded cleanly" in said
    if name == "paste":  # every crop has a place of its own
        assert code == 3 and "has fewer frames" in said
    else:
        assert (code, frames) == (0, DROP)


@pytest.mark.parametrize("name", READS)
def test_a_damaged_packet_in_the_middle_is_skipped(name: str, room: Path, tmp_path: Path) -> None:
    code, said, frames = run_and_clear(name, room, tmp_path, BadDecoder(DROP, DROP))
    assert "is damaged: 1 packets were not decoded cleanly" in said
    assert (code, frames) == ((3, 0) if name == "paste" else (0, FRAMES - 1))


@pytest.mark.parametrize("name", READS)
def test_a_clip_without_a_frame_is_refused(name: str, room: Path, tmp_path: Path) -> None:
    code, said, _ = run_and_clear(name, room, tmp_path, BadDecoder(0))
    assert code == 3 and "no frame can be decoded" in said


# Passes over the clip that decode less than another pass, and what is said of it. The first pass
# of reenact alone decides the length; paste and compare read two files, which may differ.
PASSES: Sequence[tuple[str, int, str]] = (
    ("reenact", 1, "and only 3 when it was read again"),
    ("refine", 0, "and more when it was read again"),
    ("refine", 2, "and only 3 when it was read again"),
    ("edit", 0, "and more when it was read again"),
    ("edit", 1, "and only 3 when it was read again"),
    ("edit", 2, "and only 3 when it was read again"),
    ("crop", 0, "and more when it was read again"),
    ("crop", 1, "and only 3 when it was read again"),
    ("parse", 0, "and more when it was read again"),
    ("parse", 1, "and only 3 when it was read again"),
    ("paste", 0, "has fewer frames"),
    ("paste", 1, "has no frame for the crop"),
)


@pytest.mark.parametrize(("name", "opening", "what"), PASSES)
def test_passes_of_different_lengths_end_the_command(
    name: str, opening: int, what: str, room: Path, tmp_path: Path
) -> None:
    code, said, _ = run_and_clear(name, room, tmp_path, BadDecoder(DROP, opening=opening))
    assert code == 3 and what in said
