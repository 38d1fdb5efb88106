"""Errors of every adapter: absent weights and refused licences exit with 5 and the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thcli import weights
from thcli.core.errors import WeightsError
from thcli.core.imaging import to_uint8
from thcli.core.options import RunOptions
from thcli.faces.adapters.heatmaps import heatmap_peaks
from thcli.faces.adapters.keypoints import six_keypoints
from thcli.faces.adapters.nms import nonmax_suppression
from thcli.pipeline.backends import STAGES
from thcli.weights.backend import Backend

ROWS = [
    pytest.param(row, id=f"{stage}:{name}")
    for stage, rows in ((name, stage.rows) for name, stage in STAGES.items())
    for name, row in rows.items()
    if row.factory.startswith("thcli.faces.adapters.")
]


def test_the_named_libraries_are_all_present() -> None:
    packages = {row.values[0].package for row in ROWS}  # type: ignore[union-attr]
    assert {"insightface", "face-alignment", "facexlib"} <= packages


@pytest.mark.parametrize("row", ROWS)
def test_absent_weights_name_the_command(
    row: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    assert row.weights and set(row.weights) <= set(weights.registry())
    with pytest.raises(WeightsError) as caught:
        row.load(RunOptions(device="cpu"))
    assert caught.value.exit_code == 5
    assert f"thcli weights pull {row.weights[0]}" in caught.value.hint
    assert not any(tmp_path.rglob("*.onnx")) and not any(tmp_path.rglob("*.pth*"))


@pytest.mark.parametrize("row", ROWS)
def test_licence_free_refuses_other_licences(
    row: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    free = all(weights.registry()[name].commercial for name in row.weights)
    with pytest.raises(WeightsError) as caught:
        row.load(RunOptions(device="cpu", licence="free"))
    assert ("--licence free" in caught.value.message) != free


def test_peaks_move_a_quarter_towards_the_higher_neighbour() -> None:
    heat = np.zeros((2, 8, 8), np.float32)
    heat[0, 3, 4], heat[0, 3, 5], heat[0, 2, 4] = 1, 0.5, 0.5
    heat[1, 0, 7] = 1  # in a corner: no neighbour on one side, no move
    points, heights = heatmap_peaks(heat)
    np.testing.assert_array_equal(points, [[4.25, 2.75], [7, 0]])
    np.testing.assert_array_equal(heights, [1, 1])


@given(st.integers(0, 40), st.integers(0, 1000))
def test_nms_keeps_the_best_and_no_overlaps(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 40, (count, 2))], 1)
    scores = rng.uniform(size=count)
    kept = nonmax_suppression(boxes, scores, 0.4)

    def iou(a: np.ndarray, b: np.ndarray) -> float:
        inner = float(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod())
        return inner / float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inner)

    assert not count or kept[0] == int(scores.argmax())
    assert all(iou(boxes[i], boxes[j]) <= 0.4 for i in kept for j in kept if i != j)
    dropped = set(range(count)) - set(kept)
    assert all(
        any(iou(boxes[i], boxes[j]) > 0.4 and scores[j] >= scores[i] for j in kept) for i in dropped
    )


def test_to_uint8_keeps_the_ends() -> None:
    deep = np.array([[[0, 65535, 32768]]], np.uint16)
    np.testing.assert_array_equal(to_uint8(deep), [[[0, 255, 128]]])
    shallow = np.zeros((2, 2, 3), np.uint8)
    assert to_uint8(shallow) is shallow


def test_six_keypoints_have_the_order_of_a_face() -> None:
    six = six_keypoints([[10, 10], [20, 10], [15, 15], [12, 20], [18, 20]])
    assert six[4, 0] < six[0, 0] < six[2, 0] < six[1, 0] < six[5, 0]
    np.testing.assert_array_equal(six[3], [15, 20])
