"""HDR and wide gamut to BT.709 (--hdr tonemap)."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.devices.fake_cuda import fake_cuda
from thcli import media
from thcli.core.errors import UsageError
from thcli.core.options import OutputOptions, ReadOptions
from thcli.core.types import Array
from thcli.media.info import Colour, MediaInfo
from thcli.media.tone_mapping import (
    SDR,
    ToneMapper,
    bt709_from_primaries,
    hlg_scene,
    pq_light,
    pq_signal,
    roll_off,
)

PQ, HLG = Colour(9, 1, 9, 16), Colour(9, 1, 9, 18)
TONEMAP = ReadOptions(hdr="tonemap")


def grey(signal: float) -> np.ndarray[Any, Any]:
    """Return a frame of one signal value 0..1."""
    return np.full((4, 4, 3), round(signal * 65535), np.uint16)


def signal_of(light: float) -> float:
    """Return the PQ signal of display light in cd/m2."""
    return float(pq_signal(np.array(light)))


def hlg_signal(light: float) -> float:
    """Return the HLG signal of grey display light in cd/m2 on a display of 1,000 cd/m2."""
    candidates = np.linspace(0, 1, 100_001)
    shown = 1000 * hlg_scene(candidates) ** 1.2
    return float(np.interp(light, shown, candidates))


def test_transfer_functions_have_the_published_values() -> None:
    """ST 2084 in BT.2408 table 1; 75 % of HLG is the reference white of 203 cd/m2."""
    for light, signal in ((100, 0.508), (203, 0.581), (1000, 0.752), (10000, 1.0)):
        assert signal_of(light) == pytest.approx(signal, abs=5e-4)
    scale = np.geomspace(0.01, 10000, 50)
    np.testing.assert_allclose(pq_light(pq_signal(scale)), scale, rtol=1e-9)
    assert 1000 * float(hlg_scene(np.array(0.75))) ** 1.2 == pytest.approx(203, abs=0.5)


def test_the_matrix_is_that_of_bt2087() -> None:
    expected = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    np.testing.assert_allclose(bt709_from_primaries(9), expected, atol=2e-4)
    np.testing.assert_allclose(bt709_from_primaries(1), np.eye(3), atol=1e-12)


def test_the_curve_keeps_the_dark_and_rolls_off_the_bright() -> None:
    light: Array = np.linspace(0, 1200, 5000)
    mapped = roll_off(light)
    np.testing.assert_allclose(mapped[light < 85], light[light < 85], atol=1e-6)
    assert (np.diff(mapped) >= -1e-9).all()
    assert mapped.max() == pytest.approx(203, abs=1e-3)
    assert mapped[light >= 1000].min() == pytest.approx(203, abs=1e-3)
    assert 120 < float(roll_off(np.array([203.0]))[0]) < 203


@pytest.mark.parametrize("light", [0, 1, 20, 80])
@pytest.mark.parametrize(("colour", "encode"), [(PQ, signal_of), (HLG, hlg_signal)])
def test_light_below_the_knee_is_kept(colour: Colour, encode: Any, light: float) -> None:
    found = ToneMapper(colour)(grey(encode(light)))
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - 255 * (light / 203) ** (1 / 2.4)).max() <= 1


@pytest.mark.parametrize("light", [200, 500, 1000])
def test_pq_and_hlg_of_the_same_light_agree(light: float) -> None:
    pq, hlg = ToneMapper(PQ)(grey(signal_of(light))), ToneMapper(HLG)(grey(hlg_signal(light)))
    assert np.abs(pq.astype(int) - hlg).max() <= 1
    assert (pq == 255).all() == (light == 1000)


def test_colours_inside_of_bt709_are_kept_and_others_clipped() -> None:
    """A BT.709 red at 60 cd/m2, then a BT.2020 green that BT.709 does not have."""
    inside = np.linalg.inv(bt709_from_primaries(9)) @ [60.0, 6.0, 6.0]
    frame = np.broadcast_to(np.rint(65535 * pq_signal(inside)), (2, 2, 3)).astype(np.uint16)
    expected = 255 * (np.array([60, 6, 6]) / 203) ** (1 / 2.4)
    assert np.abs(ToneMapper(PQ)(frame)[0, 0] - expected).max() <= 1.5
    green = np.zeros((2, 2, 3), np.uint16)
    green[..., 1] = 65535 * signal_of(60)
    red, level, blue = ToneMapper(PQ)(green)[0, 0]
    assert red == blue == 0 and level > 130


def test_wide_gamut_without_hdr_keeps_its_tones() -> None:
    colour = Colour(1, 1, 12, 1)
    mapped = ToneMapper(colour)(np.full((2, 2, 3), 128, np.uint8))
    assert np.abs(mapped.astype(int) - 128).max() <= 1
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 200
    assert ToneMapper(colour)(red)[0, 0, 0] > 205  # P3 red is more saturated than BT.709's


@pytest.mark.parametrize(("colour", "encode"), [(PQ, signal_of), (HLG, hlg_signal)])
def test_a_clip_is_read_and_written_as_bt709(tmp_path: Path, colour: Colour, encode: Any) -> None:
    like = MediaInfo(tmp_path / "x", "video", size=(64, 64), bit_depth=10, colour=colour)
    levels = (5, 50, 150, 600)
    with media.write(tmp_path / "hdr.mp4", (64, 64), like) as out:
        for index, light in enumerate(levels):
            pixels = np.full((64, 64, 3), round(65535 * encode(light)), np.uint16)
            out.write(pixels, index)
    kept = media.probe(tmp_path / "hdr.mp4")
    assert kept.colour == colour and kept.bit_depth == 10 and kept.mapped_from is None
    events: list[Any] = []
    with media.read(tmp_path / "hdr.mp4", TONEMAP, on=events.append) as frames:
        info = frames.info
        images = [frame.pixels for frame in frames]
        with media.write(
            tmp_path / "sdr.mp4", info.size, info, OutputOptions(), media.WritePlan(drive=info)
        ) as out:
            for index, image in enumerate(images):
                out.write(image, index)
    assert not events
    assert (info.colour, info.bit_depth, info.mapped_from) == (SDR, 8, colour)
    for light, image in zip(levels, images, strict=True):
        expected = ToneMapper(PQ)(grey(signal_of(light)))[0, 0]
        assert np.abs(image.astype(int) - expected).max() <= 3  # 10 bits of the clip
    written = media.probe(tmp_path / "sdr.mp4")
    assert (written.colour, written.bit_depth, written.codec) == (SDR, 8, "h264")


def test_other_clips_are_not_changed(tmp_path: Path) -> None:
    like = MediaInfo(tmp_path / "x", "video", size=(64, 64), colour=Colour(1, 1, 1, 1))
    with media.write(tmp_path / "a.mp4", (64, 64), like) as out:
        out.write(np.full((64, 64, 3), 120, np.uint8), 0)
    assert media.probe(tmp_path / "a.mp4", TONEMAP).mapped_from is None
    assert media.probe(tmp_path / "a.mp4").time_base == Fraction(1, 12800)


@pytest.mark.parametrize("colour", [PQ, Colour(9, 1, 9, 14)], ids=["pq", "bt2020"])
def test_a_picture_of_a_clip_is_bt709(tmp_path: Path, colour: Colour) -> None:
    path = tmp_path / "clip.mkv"
    like = MediaInfo(path, "video", size=(64, 64), bit_depth=10, colour=colour)
    with media.write(path, (64, 64), like, OutputOptions(codec="ffv1")) as out:
        out.write(np.full((64, 64, 3), (30000, 18000, 16000), np.uint16), 0)
    with media.read(path, TONEMAP) as frames:
        (frame,) = frames
    assert np.array_equal(media.read_image(path), frame.pixels)


def test_an_unknown_treatment_is_refused() -> None:
    with pytest.raises(UsageError, match="--hdr must be keep or tonemap"):
        ReadOptions(hdr="crush")  # type: ignore[arg-type]  # from a configuration file


@pytest.mark.parametrize("transfer", [1, 8, 16, 18])
def test_torch_maps_as_the_cpu_does(transfer: int) -> None:
    mapper = ToneMapper(Colour(9, 1, 9, transfer))
    codes = np.random.default_rng(0).integers(0, 65536, (67, 45, 3)).astype(np.uint16)
    found = mapper.map_by_torch(codes, torch.device("cpu")).astype(np.int64)
    assert np.abs(found - mapper(codes)).max() <= 1
    again = mapper.map_by_torch(codes[:5], torch.device("cpu"))  # by tables that are kept
    assert np.array_equal(again, found[:5])


def test_tone_mapping_stays_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cuda(monkeypatch):
        mapped = ToneMapper(HLG, "cuda")(np.zeros((6, 5, 3), np.uint16))
    assert mapped.shape == (6, 5, 3) and mapped.dtype == np.uint8


def test_rows_are_mapped_alike_wherever_a_block_begins() -> None:
    codes = np.random.default_rng(1).integers(0, 65536, (131, 9, 3)).astype(np.uint16)
    mapper = ToneMapper(HLG)
    assert np.array_equal(mapper(codes)[70:], mapper(codes[70:]))
