"""A device that runs out of memory: half the batch, the same pixels; at one frame, exit 6."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.failures.conftest import FRAMES, Run, differing, read_images
from tests.pipeline.failures.faulty import FAULTS, Faults
from thcli.core.errors import DeviceMemoryError
from thcli.core.events import silent
from thcli.pipeline.editing.steps import PainterStep
from thcli.pipeline.job.job import Job

LOSSLESS = "--codec ffv1"
# Stage of the fault, and the command that runs it; {face} and {video} are inputs.
JOBS = {
    "render": "reenact {face} {video} --engine faulty-mesh",
    "observe": "reenact {face} {video} --engine faulty-network",
    "refine": "refine {video} --engine faulty",
    "parse": "parse {video} --parser faulty --regions skin",
    "learn": "edit {video} --attr blush --engine faulty",
    "paint": "edit {video} --attr blush --engine faulty",
}
WORDS = {"learn": "edit", "paint": "edit"}


def command(stage: str, face: Path, video: Path, out: Path) -> list[object]:
    return [*JOBS[stage].format(face=face, video=video).split(), "-o", out, *LOSSLESS.split()]


@pytest.fixture
def batches_of_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the crops of a step's batch, as a network would; its painter sees one at a time."""
    for stage, name in (("learn", "extract_features"), ("paint", "render")):
        plain = getattr(PainterStep, name)

        def counted(
            self: PainterStep, views: Sequence[Any], *more: Any, plain: Any = plain, to: str = stage
        ) -> Any:
            FAULTS.call(to, len(views))
            return plain(self, views, *more)

        monkeypatch.setattr(PainterStep, name, counted)


@pytest.mark.usefixtures("batches_of_edits")
@pytest.mark.parametrize("stage", JOBS)
def test_half_the_batch_gives_the_same_pixels(
    thcli: Run, faults: Faults, stage: str, portrait: Path, video: Path, tmp_path: Path
) -> None:
    whole, halves = tmp_path / "whole.mkv", tmp_path / "halves.mkv"
    faults.stage = stage
    assert thcli(*command(stage, portrait, video, whole)).code == 0
    largest = max(faults.calls)
    assert largest >= 8

    faults.room, faults.calls = 3, []
    ran = thcli(*command(stage, portrait, video, halves))
    assert ran.code == 0 and differing(whole, halves) == []
    assert (ran.report["frames"], ran.report["failed"]) == (FRAMES, 0)
    too_large = [n for n in faults.calls if n > 3]
    assert len(too_large) <= 2 and faults.calls[0] == largest  # learnt once, kept for the job
    assert max(faults.calls[len(too_large) :]) <= 3
    name = WORDS.get(stage, stage)
    warned = [text for text in ran.report["warnings"] if "not enough memory" in text]
    assert len(warned) == len(too_large) and f"to {name}; 2 at once" in warned[-1]


def test_fits_in_smaller_batches_are_the_same(
    thcli: Run, faults: Faults, video: Path, tmp_path: Path
) -> None:
    words = ("fit", video, "--model3d faulty -o")
    faults.stage = "fit"
    assert thcli(*words, tmp_path / "a.csv").code == 0
    faults.room = 3
    assert thcli(*words, tmp_path / "b.csv").code == 0
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


@pytest.mark.parametrize("stage", JOBS)
def test_no_room_for_one_frame_ends_the_job(
    thcli: Run, faults: Faults, stage: str, portrait: Path, video: Path, tmp_path: Path
) -> None:
    faults.stage, faults.room = stage, 0
    ran = thcli(*command(stage, portrait, video, tmp_path / "out.mkv"))
    assert ran.code == 6 and list(tmp_path.iterdir()) == []
    assert ran.report["error"] == "DeviceMemoryError"
    assert "memory" in ran.report["message"] and "--device cpu" in ran.report["hint"]


def test_memory_that_runs_out_elsewhere_is_one_sentence() -> None:
    with (
        pytest.raises(DeviceMemoryError, match="not enough memory for reenact") as caught,
        Job("reenact", silent),
    ):
        raise MemoryError("Unable to allocate 8.00 GiB for an array")
    assert caught.value.exit_code == 6 and isinstance(caught.value.__cause__, MemoryError)


def test_a_fault_of_one_job_does_not_limit_the_next(
    thcli: Run, faults: Faults, video: Path, tmp_path: Path
) -> None:
    faults.stage, faults.room = "refine", 3
    assert thcli(*command("refine", video, video, tmp_path / "a.mkv")).code == 0
    faults.room, faults.calls = 1000, []
    assert thcli(*command("refine", video, video, tmp_path / "b.mkv")).code == 0
    assert max(faults.calls) == 8 and len(read_images(tmp_path / "b.mkv")) == FRAMES
