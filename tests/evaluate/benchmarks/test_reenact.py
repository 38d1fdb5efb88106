"""Tests of self-reenactment and finished videos, from clip to report, with fake renderers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.evaluate.made_clips import (
    PHOTO,
    find_face,
    make_clip,
    make_tracker,
    shift_photo,
    write_frames,
)
from thcli import media
from thcli.core.errors import MediaError, NoFaceError, UsageError
from thcli.core.events import Event, Warned
from thcli.core.options import EvaluateOptions, ReadOptions
from thcli.core.types import Frame
from thcli.evaluate.benchmarks.reenactment.reenact import (
    MeasureSetup,
    evaluate_self,
    evaluate_videos,
    limit_frames,
    read_frame,
)
from thcli.evaluate.reports.report import file_facts, format_value

WHOLE = ReadOptions()
SETUP = MeasureSetup(make_tracker)


def perfect(source: Path, drive: Path, read: ReadOptions) -> Iterable[Frame]:
    """Return the driving clip itself."""
    assert (media.read_image(source) == shift_photo(0)).all()
    return media.read(drive, read)


def lazy(source: Path, drive: Path, read: ReadOptions) -> Path:
    """Return the folder of the clip itself, a result on disk."""
    return drive


def test_self_reenactment_has_all_rows_and_the_truth_is_best(tmp_path: Path) -> None:
    truth = write_frames(tmp_path / "clip", 5)
    found = evaluate_self(
        truth,
        {"perfect": perfect, "lazy": lazy},
        SETUP,
        EvaluateOptions(),
        WHOLE,
    )
    assert list(found.rows) == ["perfect", "lazy", "copy", "align", "truth"]
    assert {s.frames for s in found.rows.values()} == {4}  # the source's own frame does not count
    for label in ("perfect", "lazy", "truth"):
        assert found.rows[label].values["face"]["l1"] == 0
    copied, aligned = (found.rows[label].values["face"]["l1"] for label in ("copy", "align"))
    assert copied is not None and aligned is not None and aligned < copied
    assert found.sheet.shape[0] > 5 * 190  # truth, two results, copy, align, difference


def test_the_report_is_json_with_protocol_versions_and_hashes(tmp_path: Path) -> None:
    truth = write_frames(tmp_path / "clip", 3)
    found = evaluate_self(truth, {"perfect": perfect}, SETUP, EvaluateOptions(), WHOLE)
    report = json.loads(json.dumps(found.report("thcli eval reenact clip"), allow_nan=False))
    assert report["run"] == "thcli eval reenact clip"
    assert report["protocol"]["kind"] == "self-reenactment"
    assert len(report["inputs"]["clip"]["sha256"]) == 64
    assert set(report["rows"]["perfect"]["face"]) <= set(report["metrics"])
    assert report["versions"]["thcli"]
    head, lines = found.table()
    assert head[3:] == ["perfect", "copy", "align", "truth"]
    assert all(len(line) == len(head) for line in lines)


def test_fewer_frames_and_another_source(tmp_path: Path) -> None:
    truth = write_frames(tmp_path / "clip", 6)
    options = EvaluateOptions(frames=4, source_frame=2, count_source=True)
    found = evaluate_self(truth, {}, SETUP, options, WHOLE)
    assert found.rows["copy"].frames == 4
    assert find_face(read_frame(truth, WHOLE, 2)) is not None
    with media.read(truth, limit_frames(truth, WHOLE, 4)) as reader:
        assert sum(1 for _ in reader) == 4
    assert limit_frames(truth, WHOLE, 6) == WHOLE
    assert limit_frames(truth, WHOLE, None) == WHOLE


def test_finished_videos_against_the_truth(tmp_path: Path) -> None:
    truth, short = write_frames(tmp_path / "truth", 4), write_frames(tmp_path / "short", 3)
    half = tmp_path / "half"
    half.mkdir()
    for frame in make_clip(4):
        Pillow.fromarray(frame.pixels).resize((128, 128)).save(half / f"{frame.index}.png")
    heard: list[Event] = []
    found = evaluate_videos(
        truth,
        {"short": short, "half": half},
        SETUP,
        EvaluateOptions(),
        WHOLE,
        heard.append,
    )
    assert (found.rows["short"].frames, found.rows["short"].absent) == (3, 1)
    assert found.rows["short"].values["face"]["l1"] == 0
    blurred = found.rows["half"].values["face"]["ssim"]
    assert blurred is not None and 0.5 < blurred < 0.99
    warnings = [event.message for event in heard if isinstance(event, Warned)]
    assert any("128x128" in message for message in warnings)
    assert any("1 of 4" in message for message in warnings)


def test_videos_of_other_shapes_are_refused(tmp_path: Path) -> None:
    truth = write_frames(tmp_path / "truth", 2)
    wide = tmp_path / "wide.png"
    Pillow.fromarray(np.ascontiguousarray(PHOTO[:100])).save(wide)
    with pytest.raises(UsageError, match="different shapes"):
        evaluate_videos(truth, {"wide": wide}, SETUP, EvaluateOptions(), WHOLE)


def test_a_source_without_a_face_or_out_of_the_clip(tmp_path: Path) -> None:
    truth = write_frames(tmp_path / "clip", 2)
    with pytest.raises(UsageError, match="no frame 7"):
        evaluate_self(truth, {}, SETUP, EvaluateOptions(source_frame=7), WHOLE)
    with pytest.raises(NoFaceError, match="source frame"):
        evaluate_self(truth, {}, MeasureSetup(lambda: lambda image: None), EvaluateOptions(), WHOLE)


def test_facts_of_a_file_and_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_facts(tmp_path / "a")["sha256"].startswith("ba7816bf")
    before = file_facts(tmp_path)["sha256"]
    (tmp_path / "a").write_bytes(b"abd")
    assert file_facts(tmp_path)["sha256"] != before
    with pytest.raises(MediaError, match="cannot be read"):
        file_facts(tmp_path / "missing")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (-7e-14, "0"),
        (100.0, "100"),
        (0.81234, "0.8123"),
        (28.4567, "28.46"),
    ],
)
def test_shown(value: float | None, text: str) -> None:
    assert format_value(value) == text
