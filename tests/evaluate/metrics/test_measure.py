"""Tests of the measuring pass, its regions, synchronised streams and contact sheets."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluate.made_clips import PHOTO, STEP, face_at, make_clip, make_tracker, shift_photo
from thcli.core.errors import OutputError, UsageError
from thcli.core.events import Event, Warned
from thcli.core.imaging import to_uint8
from thcli.core.types import Frame
from thcli.evaluate.metrics.measure import (
    TrueClip,
    align_row,
    copy_row,
    measure,
    truth_row,
    video_row,
)
from thcli.evaluate.metrics.regions import (
    RegionView,
    crop_square,
    face_square,
    fit_within,
    resize_like,
)
from thcli.evaluate.metrics.table import METRICS
from thcli.evaluate.reports.contact_sheet import (
    FrameSampler,
    SheetBuilder,
    contact_sheet,
    crop_wide,
    difference,
    save_image,
)
from thcli.motion.canonical import neutral
from thcli.pipeline.render.panels import letterbox
from thcli.pipeline.render.sync import StreamSynchroniser


def test_truth_is_best_and_align_beats_copy_on_a_moving_clip() -> None:
    rows = {
        "truth": truth_row,
        "copy": copy_row(shift_photo(0)),
        "align": align_row(shift_photo(0), face_at(0)),
    }
    scores = measure(TrueClip(make_clip(6), skip=frozenset({0})), rows, make_tracker)
    assert [s.frames for s in scores.values()] == [5, 5, 5]
    best = scores["truth"].values["face"]
    for name, value in {
        "l1": 0,
        "psnr": 100,
        "akd": 0,
        "aed": 0,
        "aed_iod": 0,
        "apd": 0,
        "missed": 0,
        "akd_iod": 0,
    }.items():
        assert best[name] == pytest.approx(value, abs=1e-6)
    for name in ("ssim", "ms_ssim"):
        assert best[name] == pytest.approx(1, abs=1e-5)
    for region, name in (("face", "l1"), ("frame", "l1")):
        copied, aligned = (
            scores[label].values[region][name]  # type: ignore[index]  # region is a literal
            for label in ("copy", "align")
        )
        assert copied is not None and aligned is not None and aligned < 0.6 * copied
    # A mouth that never moves follows nothing.
    assert scores["copy"].values["face"]["mouth_corr"] is None
    assert set(best) == {m.name for m in METRICS}
    assert set(scores["truth"].values["frame"]) == {m.name for m in METRICS if "frame" in m.regions}


def test_keypoint_distance_is_in_pixels_of_the_face_box_at_256() -> None:
    scores = measure(
        TrueClip(make_clip(3), skip=frozenset({0})),
        {"copy": copy_row(shift_photo(0))},
        make_tracker,
    )["copy"].values["face"]
    side = face_square(face_at(0))[2]
    assert scores["akd"] == pytest.approx(1.5 * STEP * 256 / side, rel=1e-3)
    assert scores["akd_iod"] == pytest.approx(
        100 * 1.5 * STEP / 60 / np.linalg.norm(neutral()[33] - neutral()[263]), rel=1e-2
    )


def test_a_video_is_matched_by_time_and_missing_frames_are_reported() -> None:
    heard: list[Event] = []
    other_base = make_clip(4, Fraction(1, 90000), 3600, start=900)
    scores = measure(
        TrueClip(make_clip(6)), {"video": video_row(other_base)}, make_tracker, on=heard.append
    )["video"]
    assert scores.values["face"]["l1"] == 0
    assert (scores.frames, scores.absent) == (4, 2)
    assert any(isinstance(event, Warned) and "2 of 6" in event.message for event in heard)


def test_frames_without_a_true_face_count_for_the_frame_alone() -> None:
    def lost() -> Iterator[Frame]:
        for frame in make_clip(4):
            pixels = frame.pixels.copy()
            if frame.index == 2:
                pixels[:8] = 255
            yield Frame(pixels, frame.pts, frame.time_base, frame.index)

    seen: list[bool] = []
    scores = measure(
        TrueClip(lost()),
        {"copy": copy_row(shift_photo(0))},
        make_tracker,
        observer=lambda m, _: seen.append(m.face is not None),
    )
    assert seen == [True, True, False, True]
    assert scores["copy"].values["frame"]["l1"] is not None
    assert scores["copy"].values["face"]["missed"] == 0


def test_frames_are_released_when_no_longer_needed() -> None:
    born: list[weakref.ref[object]] = []
    alive: list[int] = []

    def watched() -> Iterator[Frame]:
        for frame in make_clip(24):
            born.append(weakref.ref(frame.pixels))
            alive.append(sum(ref() is not None for ref in born))
            yield frame

    rows = {"truth": truth_row, "video": video_row(watched()), "copy": copy_row(shift_photo(0))}
    measure(
        TrueClip(make_clip(24)),
        rows,
        make_tracker,
        observer=SheetBuilder("video", columns=2, size=16),
    )
    assert len(alive) == 24
    # This one and the next, the one before, and the one that the tracker saw last.
    assert max(alive) <= 4


def test_a_result_without_its_face_is_counted_as_missed() -> None:
    blank = np.full_like(PHOTO, 255)
    values = measure(TrueClip(make_clip(3)), {"blank": copy_row(blank)}, make_tracker)[
        "blank"
    ].values["face"]
    assert values["missed"] == 100
    assert values["akd"] is None and values["aed"] is None and values["aed_iod"] is None


def test_sixteen_bits_become_eight_and_back_to_themselves() -> None:
    all_values = np.arange(256, dtype=np.uint16).reshape(16, 16, 1).repeat(3, 2)
    wide = Frame(all_values * np.uint16(257), 0, Fraction(1, 25), 0)
    assert (to_uint8(wide.pixels) == all_values).all()
    top = Frame(np.full((2, 2, 3), 65535, np.uint16), 0, Fraction(1, 25), 0)
    assert (to_uint8(top.pixels) == 255).all()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_in_step_takes_the_nearest_frame(ticks: int, length: int, start: int) -> None:
    pixels = np.zeros((1, 1, 3), np.uint8)
    frames = [Frame(pixels, start + i * ticks, Fraction(1, 1000), i) for i in range(length)]
    stream = StreamSynchroniser(frames)
    for moment in range(0, ticks * length + 50, 7):
        shown = stream.frame_at(Fraction(moment, 1000))
        assert shown is not None
        nearest = min(abs(i * ticks - moment) for i in range(length))
        assert abs(shown.index * ticks - moment) == nearest


def test_an_empty_stream_is_over() -> None:
    stream = StreamSynchroniser([])
    assert stream.frame_at(Fraction(0)) is None
    assert stream.has_ended(Fraction(0))


@pytest.mark.parametrize("size", [200, 1500])
def test_the_face_box_is_cut_alike_at_any_resolution(size: int) -> None:
    image = resize_like(PHOTO, np.zeros((size, size, 3), np.uint8))
    scale = size / 256
    centre = (130 + 0.5) * scale - 0.5, (120 + 0.5) * scale - 0.5
    small = crop_square(image, (*centre, 180 * scale))
    plain = crop_square(PHOTO, (130.0, 120.0, 180.0))
    assert np.abs(small.astype(int) - plain).mean() < 6


def test_cut_at_the_border_repeats_it() -> None:
    flat = np.full((40, 40, 3), 77, np.uint8)
    for side in (30.0, 3000.0):
        assert (crop_square(flat, (0.0, 39.0, side)) == 77).all()


def test_fit_within_never_enlarges() -> None:
    assert fit_within(PHOTO, 512) is PHOTO
    assert fit_within(PHOTO[:, :128], 64).shape == (64, 32, 3)


def test_a_region_without_a_face_or_a_previous_frame() -> None:
    assert RegionView.of("face", PHOTO, None, None) is None
    place = RegionView.of("frame", PHOTO, None, None)
    assert place is not None and place.flow is None


def test_contact_sheet_has_a_cell_for_each_image() -> None:
    sheet = contact_sheet(
        {"a": [PHOTO, PHOTO[:, :100]], "b": [PHOTO]}, cell=(50, 40), columns=["0", "1"]
    )
    assert sheet.shape == (2 * 42 + 2, 2 * 52 + 2, 3)
    with pytest.raises(UsageError):
        contact_sheet({"a": []})


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 60), st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_letterbox_keeps_the_shape(width: int, height: int, to_width: int, to_height: int) -> None:
    boxed = letterbox(np.full((height, width, 3), 200, np.uint8), (to_width, to_height))
    assert boxed.shape == (to_height, to_width, 3)
    rows, columns = np.nonzero((boxed == 200).all(2))
    inside = (columns.max() - columns.min() + 1, rows.max() - rows.min() + 1)
    assert inside[0] == to_width or inside[1] == to_height


def test_difference_is_amplified_and_clipped() -> None:
    a, b = np.full((2, 2, 3), 100, np.uint8), np.full((2, 2, 3), 110, np.uint8)
    assert (difference(a, b, 3) == 30).all()
    assert (difference(a, np.zeros_like(a), 3) == 255).all()


@given(st.integers(1, 300), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_columns_are_spread_and_bounded(length: int, count: int) -> None:
    columns = FrameSampler(count)
    for i in range(length):
        if columns.wants():
            columns.add(str(i), {"x": np.zeros((1, 1, 3), np.uint8)})
        else:
            columns.leave()
        assert len(columns._kept) <= 2 * count
    images, captions = columns.rows()
    assert len(images["x"]) == len(captions) == min(len(captions), count)
    chosen = [int(c) for c in captions]
    assert chosen == sorted(set(chosen))
    assert len(chosen) >= min(length, (count + 1) // 2)
    if count > 1 and length > 1:
        assert chosen[0] == 0 and chosen[-1] >= length / 2 - 1


def test_the_sheet_has_truth_rows_and_difference(tmp_path: Path) -> None:
    sheet_builder = SheetBuilder("align", columns=3, size=64)
    rows = {"copy": copy_row(shift_photo(0)), "align": align_row(shift_photo(0), face_at(0))}
    measure(TrueClip(make_clip(9)), rows, make_tracker, observer=sheet_builder)
    sheet = sheet_builder.sheet()
    assert sheet.shape == (4 * 66 + 2, 3 * 66 + 2, 3)
    save_image(tmp_path / "sheet.png", sheet)
    assert [p.name for p in tmp_path.iterdir()] == ["sheet.png"]


def test_the_sheet_stays_within_the_frame() -> None:
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None, None], (256, 256, 3)).copy()
    for x in (-100.0, 0.0, 100.0):
        shown = crop_wide(ramp, face_at(x), 64)
        # A repeated border would stand still.
        assert (np.diff(shown[:, 0, 0].astype(int)) > 0).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere/sheet.png", "does not exist"), ("sheet.nonsense", "cannot be written")],
)
def test_a_sheet_that_cannot_be_written(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(OutputError, match=message):
        save_image(tmp_path / name, PHOTO)
    assert list(tmp_path.iterdir()) == []
