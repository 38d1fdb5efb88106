"""Stage commands on anamorphic clips: faces as they are shown, results of square pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.pipeline.sources.squeezed import squeeze
from tests.pipeline.stages.made_videos import FRAMES, SIDE, Thcli, read_images
from thcli import media


def test_crops_are_of_the_shown_frames_and_can_be_pasted(
    thcli: Thcli, clip: Path, tmp_path: Path
) -> None:
    source, pasted = squeeze(tmp_path / "s.mp4", clip), tmp_path / "p.mp4"
    for name, video in (("a", source), ("b", clip)):
        assert thcli("crop", video, "-o", tmp_path / f"{name}.mp4", "--size", 128).code == 0
    made, wanted = (np.array(read_images(tmp_path / f"{n}.mp4")).astype(int) for n in "ab")
    assert np.abs(made - wanted).mean() < 6
    assert thcli("paste", tmp_path / "a.mp4", source, "-o", pasted).code == 0
    info = media.probe(pasted)
    assert info.sar == 1 and (info.size, info.frames) == ((SIDE, SIDE), FRAMES)


def test_parsed_regions_and_aligned_faces_are_those_of_the_shown_frames(
    thcli: Thcli, clip: Path, tmp_path: Path
) -> None:
    source, mask = squeeze(tmp_path / "s.mp4", clip), tmp_path / "m.mp4"
    assert thcli("parse", source, "-o", mask, "--kind", "mask").code == 0
    assert media.probe(mask).sar == 1 and media.probe(mask).size == (SIDE, SIDE)
    assert np.array(read_images(mask)).max() > 200
    assert thcli("align", source, "-o", f"{tmp_path / 'faces'}/").code == 0
    assert len(list((tmp_path / "faces").glob("*.png"))) == FRAMES
