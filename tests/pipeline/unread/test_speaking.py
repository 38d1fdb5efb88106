"""--source-face speaking where nothing can be compared: refused before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from tests.pipeline.face_clip import write_face_clip
from thcli.core.errors import UsageError
from thcli.core.options import FaceOptions, ReenactOptions, SpeakOptions
from thcli.pipeline.check_options import check_reenact, check_speak
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.reenact import reenact


def test_an_image_and_a_silent_video_are_refused(tmp_path: Path) -> None:
    PillowImage.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "face.png")
    with pytest.raises(UsageError, match=r"face\.png is not a video"):
        check_reenact(tmp_path / "face.png", None, ReenactOptions(source_face="speaking"))
    write_face_clip(tmp_path / "silent.mp4", 2)
    with pytest.raises(UsageError, match=r"silent\.mp4 has no sound"):
        check_speak(tmp_path / "silent.mp4", None, SpeakOptions(source_face="speaking"))


def test_a_silent_driver_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PillowImage.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "face.png")
    write_face_clip(tmp_path / "silent.mp4", 2)
    monkeypatch.setattr(FaceFinder, "load", None)  # nothing is loaded before
    options = ReenactOptions(faces=FaceOptions("speaking"))
    with pytest.raises(UsageError, match=r"silent\.mp4 has no sound"):
        reenact(tmp_path / "face.png", tmp_path / "silent.mp4", tmp_path / "out.mp4", options)


def test_a_refined_result_is_refused(tmp_path: Path) -> None:
    write_face_clip(tmp_path / "talk.mp4", 2, tone=True)
    options = ReenactOptions(source_face="speaking")
    check_reenact(tmp_path / "talk.mp4", None, options)
    with pytest.raises(UsageError, match="--refine cannot find the face that speaks"):
        check_reenact(
            tmp_path / "talk.mp4", None, ReenactOptions(source_face="speaking", refine="detail")
        )
