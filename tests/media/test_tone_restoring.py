"""Changes of tone-mapped frames in the HDR signal of their file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from thcli import media
from thcli.core.events import Event
from thcli.core.options import OutputOptions, ReadOptions
from thcli.core.types import Image
from thcli.media.info import Colour, MediaInfo
from thcli.media.tone_mapping import ToneMapper, pq_signal
from thcli.media.tone_restoring import KeptSignal, Samples, ToneRestorer

PQ, HLG, P3 = Colour(9, 1, 9, 16), Colour(9, 1, 9, 18), Colour(9, 1, 12, 16)
COLOURS = pytest.mark.parametrize("colour", [PQ, HLG, P3, Colour(9, 1, 2, 18)])


def kept(codes: Samples, colour: Colour = PQ) -> KeptSignal:
    return KeptSignal(codes, ToneMapper(colour)(codes), ToneRestorer(colour))


def grey(light: float) -> Samples:
    """Return a PQ frame of one light in cd/m2."""
    return np.full((4, 4, 3), round(65535 * float(pq_signal(np.array(light)))), np.uint16)


def noise(seed: int, low: int, high: int) -> Image:
    return np.random.default_rng(seed).integers(low, high, (150, 90, 3)).astype(np.uint8)


@COLOURS
def test_the_map_of_the_signal_is_the_image(colour: Colour) -> None:
    """White returns as a light that is a level or two darker, since the map is flat there."""
    image = noise(0, 8, 256)
    codes = np.rint(ToneRestorer(colour).signal(image) * 65535).astype(np.uint16)
    assert np.abs(ToneMapper(colour)(codes).astype(int) - image).max() <= 2
    white = ToneRestorer(colour).signal(np.array([[254] * 3, [255] * 3], np.uint8))
    assert np.ptp(white, 0).max() < 0.015


@COLOURS
def test_a_change_is_seen_as_it_was_made_and_the_rest_is_kept(colour: Colour) -> None:
    """The codes have what no 8 bits hold."""
    codes = np.rint(ToneRestorer(colour).signal(noise(1, 20, 230)) * 65535).astype(np.uint16)
    codes += np.random.default_rng(2).integers(0, 40, codes.shape).astype(np.uint16)
    signal = kept(codes, colour)
    assert np.array_equal(signal.restore(signal.mapped), codes)
    changed = signal.mapped.copy()
    changed[60:80, 20:40] = noise(3, 20, 230)[60:80, 20:40]
    changed[100:120] += 3
    out = signal.restore(changed)
    assert out.dtype == np.uint16
    same = (changed == signal.mapped).all(-1)
    assert np.array_equal(out[same], codes[same])
    assert np.abs(ToneMapper(colour)(out).astype(int) - changed).max() <= 2


def test_light_above_the_map_stays_under_a_small_change_alone() -> None:
    """2,000 cd/m2 are white, as 1,000 are; what is painted dark over them stays dark."""
    codes = grey(2000)
    signal = kept(codes)
    assert (signal.mapped == 255).all()
    slight, dark = signal.mapped - np.uint8(2), np.full_like(signal.mapped, 60)
    assert (signal.restore(slight) > grey(1100)).all()
    assert np.abs(ToneMapper(PQ)(signal.restore(dark)).astype(int) - 60).max() <= 1


def test_eight_bits_stay_eight_bits() -> None:
    codes = noise(4, 60, 140)
    signal = kept(codes)
    assert np.array_equal(signal.restore(signal.mapped), codes)
    assert signal.restore(signal.mapped // 2).dtype == np.uint8


def test_an_image_of_another_size_is_mapped_back_whole() -> None:
    image = noise(5, 8, 250)
    out = kept(grey(100)).restore(image)
    assert out.dtype == np.uint16 and np.abs(ToneMapper(PQ)(out).astype(int) - image).max() <= 1


@pytest.mark.parametrize("colour", [PQ, HLG])
def test_a_file_is_read_for_networks_and_its_signal_is_kept(tmp_path: Path, colour: Colour) -> None:
    path = tmp_path / "hdr.mkv"
    like = MediaInfo(path, "video", size=(90, 150), bit_depth=10, colour=colour)
    with media.write(path, like.size, like, OutputOptions(codec="ffv1")) as out:
        out.write(np.random.default_rng(0).integers(0, 40000, (150, 90, 3)).astype(np.uint16), 0)
    events: list[Event] = []
    with media.read(path, tone_mapped=True, on=events.append) as frames:
        assert frames.info.colour.transfer == colour.transfer and frames.info.bit_depth >= 10
        (frame,) = frames
    assert not events  # no warning that values are kept
    (own,), (mapped,) = (
        list(media.read(path, ReadOptions(hdr=hdr))) for hdr in ("keep", "tonemap")
    )
    assert own.signal is None and mapped.signal is None and own.pixels.dtype == np.uint16
    assert np.array_equal(frame.pixels, mapped.pixels)
    assert np.array_equal(frame.to_signal(frame.pixels), own.pixels)
    assert frame.nbytes == own.nbytes + mapped.nbytes
    assert np.array_equal(media.read_image(path), mapped.pixels)  # a picture has ordinary light


def test_other_files_are_read_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "sdr.mp4"
    like = MediaInfo(path, "video", size=(64, 64), colour=replace(PQ, transfer=14), bit_depth=10)
    with media.write(path, like.size, like) as out:
        out.write(np.full((64, 64, 3), 30000, np.uint16), 0)
    (frame,) = media.read(path, tone_mapped=True)
    assert frame.signal is None and frame.pixels.dtype == np.uint16
    assert frame.to_signal(frame.pixels) is frame.pixels
