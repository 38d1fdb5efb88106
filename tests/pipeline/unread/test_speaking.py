"""The face that speaks where nothing can be compared, and in dry runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from tests.pipeline.face_clip import write_face_clip
from thcli.core.errors import UsageError
from thcli.core.events import silent
from thcli.core.options import (
    CropOptions,
    EditOptions,
    EncodeOptions,
    FaceOptions,
    FitOptions,
    FootageOptions,
    ParseOptions,
    ReenactOptions,
    RefineJobOptions,
    RunOptions,
    SpeakOptions,
)
from thcli.pipeline import dry_run
from thcli.pipeline.check_options import check_reenact, check_speak
from thcli.pipeline.edit import edit
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.reenact import reenact
from thcli.pipeline.refine import refine
from thcli.pipeline.stages.crop_align import crop
from thcli.pipeline.stages.encode_warp import encode
from thcli.pipeline.stages.fit import fit
from thcli.pipeline.stages.parse import parse
from thcli.weights.backend import Backend

FACES, RUN = FaceOptions("speaking"), RunOptions(device="cpu", threads=1)


def test_an_image_and_a_silent_video_are_refused(tmp_path: Path) -> None:
    PillowImage.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "face.png")
    with pytest.raises(UsageError, match=r"face\.png is not a video"):
        check_reenact(tmp_path / "face.png", None, ReenactOptions(source_face="speaking"))
    write_face_clip(tmp_path / "silent.mp4", 2)
    with pytest.raises(UsageError, match=r"silent\.mp4 has no sound"):
        check_speak(tmp_path / "silent.mp4", None, SpeakOptions(source_face="speaking"))


def test_a_refined_result_is_refused(tmp_path: Path) -> None:
    write_face_clip(tmp_path / "talk.mp4", 2, tone=True)
    options = ReenactOptions(source_face="speaking")
    check_reenact(tmp_path / "talk.mp4", None, options)
    with pytest.raises(UsageError, match="--refine cannot find the face that speaks"):
        check_reenact(
            tmp_path / "talk.mp4", None, ReenactOptions(source_face="speaking", refine="detail")
        )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (ReenactOptions(source_time=0.0), "--source-time"),
        (ReenactOptions(engine="fomm"), "the engine fomm"),
        (SpeakOptions(footage=FootageOptions(still=True)), "--still"),
    ],
)
def test_a_single_frame_of_a_source_is_refused(
    options: ReenactOptions | SpeakOptions, reason: str, tmp_path: Path
) -> None:
    write_face_clip(tmp_path / "talk.mp4", 2, tone=True)
    options = replace(options, source_face="speaking")
    with pytest.raises(UsageError, match=f"{reason} animates one frame"):
        if isinstance(options, SpeakOptions):
            check_speak(tmp_path / "talk.mp4", None, options)
        else:
            check_reenact(tmp_path / "talk.mp4", None, options)


VERBS: dict[str, Callable[[Path, Path], Any]] = {
    "reenact": lambda clip, out: reenact(clip, clip, out, ReenactOptions(faces=FACES, run=RUN)),
    "refine": lambda clip, out: refine(clip, out, RefineJobOptions(faces=FACES, run=RUN)),
    "edit": lambda clip, out: edit(
        clip, out, EditOptions(faces=FACES, run=RUN, attr=["smiling=1"])
    ),
    "encode": lambda clip, out: encode(clip, None, EncodeOptions(faces=FACES, run=RUN)),
    "crop": lambda clip, out: crop(clip, out, CropOptions(faces=FACES, run=RUN)),
    "fit": lambda clip, out: fit(clip, None, FitOptions(faces=FACES, run=RUN)),
    "parse": lambda clip, out: parse(clip, out, ParseOptions(faces=FACES, run=RUN)),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_silent_video_is_refused_before_anything_is_loaded(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*given: object) -> Any:
        raise AssertionError("loaded")

    monkeypatch.setattr(FaceFinder, "load", load)
    monkeypatch.setattr(Backend, "load", load)
    write_face_clip(tmp_path / "silent.mp4", 2)
    with pytest.raises(UsageError, match=r"silent\.mp4 has no sound"):
        VERBS[verb](tmp_path / "silent.mp4", tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["silent.mp4"]


class Tried(Exception):
    """Options of the trial."""


def test_a_trial_takes_the_largest_face_for_the_speaker(tmp_path: Path) -> None:
    """Its first frames may be silent."""

    def tried(*given: Any) -> Any:
        raise Tried(given[-2])

    clip = tmp_path / "talk.mp4"
    write_face_clip(clip, 2, tone=True)
    both, out = (clip, clip), tmp_path / "out.mp4"
    trials: tuple[Callable[[], Any], ...] = (
        lambda: dry_run.rehearse_reenact(
            tried, both, out, ReenactOptions(faces=FACES, source_face="speaking"), silent
        ),
        lambda: dry_run.rehearse_speak(
            tried, both, out, SpeakOptions(source_face="speaking"), silent
        ),
        lambda: dry_run.rehearse_refine(tried, clip, out, RefineJobOptions(faces=FACES), silent),
        lambda: dry_run.rehearse_edit(
            tried, clip, out, EditOptions(attr=["smiling"], faces=FACES), silent
        ),
    )
    for rehearse in trials:
        with pytest.raises(Tried) as found:
            rehearse()
        (options,) = found.value.args
        assert getattr(options, "faces", FaceOptions()) == FaceOptions()
        assert getattr(options, "source_face", "largest") == "largest"
