"""`thcli compare`: layout, labels, synchronisation."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from thcli import media
from thcli.core.errors import MediaError, UsageError
from thcli.core.options import CompareOptions, OutputOptions
from thcli.core.types import Frame
from thcli.pipeline.compare import compare, side_by_side
from thcli.pipeline.render.panels import GREY, PanelLayout, letterbox, put_label, render_label

shapes = st.lists(st.fractions(Fraction(1, 4), Fraction(4)), min_size=1, max_size=5)


def grey_clip(
    count: int, ticks: int, time_base: Fraction, start: int = 0, side: int = 8
) -> Iterator[Frame]:
    """Yield grey frames whose level is their index."""
    for i in range(count):
        yield Frame(np.full((side, side, 3), i, np.uint8), start + i * ticks, time_base, i, ticks)


@given(shapes, st.integers(1, 3000), st.integers(200, 4000))
@settings(max_examples=50, deadline=None)
def test_a_layout_is_even_and_fits(wanted: list[Fraction], height: int, widest: int) -> None:
    layout = PanelLayout.of(wanted, height, widest)
    assert layout.height % 2 == 0 and all(width % 2 == 0 for width in layout.widths)
    assert layout.size[0] == sum(layout.widths) <= widest + 6 * len(wanted)
    assert layout.height <= height + 1 or layout.height == 2


def test_streams_are_synchronised_and_hold_their_last_frame() -> None:
    base = grey_clip(4, 3600, Fraction(1, 90000), start=7777)  # 25 a second
    slow = grey_clip(2, 2, Fraction(1, 25), start=100)  # 12.5 a second, half as long
    still = grey_clip(1, 0, Fraction(1, 25))
    layout = PanelLayout.of([Fraction(1)] * 3, 8, 4000)
    frames = list(side_by_side(base, [slow, still], 1, layout, ["", "", ""]))
    assert [f.pts for f in frames] == [7777 + i * 3600 for i in range(4)]
    assert all(f.time_base == Fraction(1, 90000) and f.duration == 3600 for f in frames)
    cells = [[int(f.pixels[4, x, 0]) for x in (4, 12, 20)] for f in frames]
    assert [row[1] for row in cells] == [0, 1, 2, 3]
    assert [row[0] for row in cells] == [0, 1, 1, 1]
    assert [row[2] for row in cells] == [0, 0, 0, 0]


def test_an_anamorphic_image_is_shown_wide() -> None:
    layout = PanelLayout.of([Fraction(2)], 10, 4000)
    rendered = layout.render([np.full((10, 10, 3), 200, np.uint8)], [""])
    assert rendered.shape == (10, 20, 3)
    assert (rendered == 200).all()


def test_another_aspect_ratio_gets_bars() -> None:
    boxed = letterbox(np.full((10, 10, 3), 200, np.uint8), (30, 10))
    assert (boxed[:, 10:20] == 200).all()
    assert (boxed[:, :10] == GREY).all() and (boxed[:, 20:] == GREY).all()


def test_a_missing_image_leaves_its_cell_grey() -> None:
    layout = PanelLayout.of([Fraction(1), Fraction(1)], 16, 4000)
    rendered = layout.render([None, np.full((16, 16, 3), 200, np.uint8)], ["", ""])
    assert (rendered[:, :16] == GREY).all() and (rendered[:, 16:] == 200).all()


@pytest.mark.parametrize("max_width", [1, 20, 80, 500])
def test_a_label_has_at_most_the_given_width(max_width: int) -> None:
    patch = render_label("a rather long name of a video", max_width)
    assert patch.shape[1] <= max_width
    canvas = np.zeros((40, max_width, 3), np.uint8)
    put_label(canvas, "a rather long name of a video", (0, 0))
    assert canvas.any()


def test_a_label_is_one_line() -> None:
    np.testing.assert_array_equal(render_label("a\n b\t", 90), render_label("a b", 90))


def test_a_label_has_letters_and_changes_only_its_corner() -> None:
    canvas = np.full((60, 120, 3), 200, np.uint8)
    put_label(canvas, "truth", (3, 3))
    assert canvas[3:25, 3:60].max() > 225 and canvas[3:25, 3:60].min() < 60
    assert (canvas[35:] == 200).all() and (canvas[:, 90:] == 200).all()


def save_clip(path: Path, frames: Iterator[Frame], rate: int) -> Path:
    """Write a lossless video without audio."""
    options = OutputOptions(codec="ffv1")
    with media.write(
        path,
        (8, 8),
        None,
        options,
        media.WritePlan(time_base=Fraction(1, rate), rate=Fraction(rate)),
    ) as out:
        for frame in frames:
            out.write(frame.pixels, frame.pts, frame.duration)
    return path


def test_compare_writes_a_row_with_the_first_videos_time(tmp_path: Path) -> None:
    still = tmp_path / "still.png"
    Pillow.fromarray(np.full((32, 16, 3), 99, np.uint8)).save(still)
    base = save_clip(tmp_path / "base.mkv", grey_clip(6, 1, Fraction(1, 25)), 25)
    slow = save_clip(tmp_path / "slow.mkv", grey_clip(3, 1, Fraction(1, 10)), 10)
    report = compare(
        [still, base, slow],
        tmp_path / "out.mkv",
        CompareOptions(height=16, label=["", "", ""], output=OutputOptions(codec="ffv1")),
    )
    assert (report.frames, report.details["size"]) == (6, [8 + 16 + 16, 16])
    with media.read(base) as first, media.read(tmp_path / "out.mkv") as made:
        frames = list(made)
        assert [f.seconds for f in frames] == pytest.approx([f.seconds for f in first], abs=1e-3)
    cells = [[int(f.pixels[8, x, 0]) for x in (4, 16, 32)] for f in frames]
    assert cells == [[99, 0, 0], [99, 1, 0], [99, 2, 1], [99, 3, 1], [99, 4, 2], [99, 5, 2]]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "base.mkv",
        "out.mkv",
        "slow.mkv",
        "still.png",
    ]


def test_fewer_than_two_inputs_and_surplus_labels_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least two"):
        compare([tmp_path / "a.mp4"], tmp_path / "out.mp4")
    with pytest.raises(UsageError, match="3 labels for 2"):
        compare(
            [tmp_path / "a.mp4", tmp_path / "b.mp4"],
            tmp_path / "out.mp4",
            CompareOptions(label=["1", "2", "3"]),
        )


def test_a_missing_input_leaves_no_output(tmp_path: Path) -> None:
    base = save_clip(tmp_path / "base.mkv", grey_clip(2, 1, Fraction(1, 25)), 25)
    with pytest.raises(MediaError):
        compare([base, tmp_path / "missing.mp4"], tmp_path / "out.mkv")
    assert [p.name for p in tmp_path.iterdir()] == ["base.mkv"]
