"""A device that runs out of memory: half the batch, the same pixels; at one frame, exit 6."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.failures.conftest import FRAMES, Run, differing, read_images, write_noise
from tests.pipeline.failures.faulty import FAULTS, Faults
from thcli.core.errors import DeviceMemoryError
from thcli.core.events import silent
from thcli.pipeline.editing.painter_step import PainterStep
from thcli.pipeline.job.job import Job

LOSSLESS = "--codec ffv1"
# Stage of the fault with a word to tell jobs apart, and the command: {face}, … are inputs.
JOBS = {
    "render": "reenact {face} {video} --engine faulty-mesh",
    "render speech": "speak {face} {sound} --engine faulty-mesh --voice faulty",
    "observe": "reenact {face} {video} --engine faulty-network",
    "refine": "refine {video} --engine faulty",
    "parse": "parse {video} --parser faulty --regions skin",
    "parse to paste": "paste {crops} {video} --mask parse --parser faulty",
    "learn": "edit {video} --attr blush --engine faulty",
    "paint": "edit {video} --attr blush --engine faulty",
}
ONE_BY_ONE = ("parse to paste",)  # frames are computed alone, so there is nothing to halve
WORDS = {"learn": "edit", "paint": "edit"}


def command(job: str, inputs: dict[str, Path], out: Path) -> list[object]:
    return [*JOBS[job].format(**inputs).split(), "-o", out, *LOSSLESS.split()]


@pytest.fixture
def inputs(
    job: str, thcli: Run, portrait: Path, video: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Return the inputs of a job by name."""
    folder = tmp_path_factory.mktemp("inputs")
    made = {"face": portrait, "video": video}
    if "{sound}" in JOBS[job]:
        made["sound"] = write_noise(folder / "noise.wav", FRAMES / 25)
    if "{crops}" in JOBS[job]:
        made["crops"] = folder / "crops.mkv"
        assert thcli("crop", video, LOSSLESS, "-o", made["crops"]).code == 0
    return made


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
@pytest.mark.parametrize("job", [job for job in JOBS if job not in ONE_BY_ONE])
def test_half_the_batch_gives_the_same_pixels(
    thcli: Run, faults: Faults, job: str, inputs: dict[str, Path], tmp_path: Path
) -> None:
    stage = job.split()[0]
    whole, halves = tmp_path / "whole.mkv", tmp_path / "halves.mkv"
    faults.stage = stage
    assert thcli(*command(job, inputs, whole)).code == 0
    largest = max(faults.calls)
    assert largest >= (4 if stage == "learn" else 8)  # every second frame is measured

    faults.room, faults.calls = 3, []
    ran = thcli(*command(job, inputs, halves))
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


@pytest.mark.parametrize("job", JOBS)
def test_no_room_for_one_frame_ends_the_job(
    thcli: Run, faults: Faults, job: str, inputs: dict[str, Path], tmp_path: Path
) -> None:
    faults.stage, faults.room = job.split()[0], 0
    ran = thcli(*command(job, inputs, tmp_path / "out.mkv"))
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
    assert thcli(*command("refine", {"video": video}, tmp_path / "a.mkv")).code == 0
    faults.room, faults.calls = 1000, []
    assert thcli(*command("refine", {"video": video}, tmp_path / "b.mkv")).code == 0
    assert max(faults.calls) == 8 and len(read_images(tmp_path / "b.mkv")) == FRAMES
