"""Stage commands on anamorphic clips: faces as they are shown, results of square pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.sources.squeezed import squeeze
from tests.pipeline.stages.made_videos import FRAMES, SIDE, Thcli, read_images
from thcli import media
from thcli.core.options import ReadOptions
from thcli.pipeline.observe.crop_track import CropTrack


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


@pytest.mark.parametrize("command", ["detect", "track"])
def test_faces_are_found_where_they_are_shown(
    thcli: Thcli, clip: Path, tmp_path: Path, command: str
) -> None:
    boxes = []
    for video in (squeeze(tmp_path / "s.mp4", clip), clip):
        rows = thcli(command, video, "-o", "-", "-q").rows
        assert [len(row["faces"]) for row in rows] == [1] * FRAMES
        boxes.append([row["faces"][0]["box"] for row in rows])
    assert np.abs(np.subtract(boxes[0], boxes[1])).max() < 6


def test_places_of_crops_are_those_of_the_shown_frames_and_are_pasted_there(
    thcli: Thcli, clip: Path, tmp_path: Path
) -> None:
    source, places = squeeze(tmp_path / "s.mp4", clip), []
    for name, video in (("a", source), ("b", clip)):
        assert thcli("crop", video, "-o", tmp_path / f"{name}.mp4", "--size", 128).code == 0
        track = CropTrack(tmp_path / f"{name}.crops.safetensors")
        assert track.frame_size == (SIDE, SIDE)
        corners = np.array([[0, 0, 1], [127, 127, 1]], float).T
        to_frame = [np.linalg.inv(one.placement.crop_from_frame) @ corners for one in track]
        places.append(np.array(to_frame)[:, :2])
    assert np.abs(places[0] - places[1]).max() < 6
    inverted = f"{tmp_path / 'inverted'}/"
    with media.write(inverted, (128, 128)) as writer:
        for index, image in enumerate(read_images(tmp_path / "a.mp4")):
            writer.write(255 - image, index)
    beside, out = tmp_path / "a.crops.safetensors", tmp_path / "out"
    words = ("--crops", beside, "--mask", "crop", "--no-colour-match")
    assert thcli("paste", inverted, source, "-o", f"{out}/", *words).code == 0
    with media.read(source, ReadOptions(square_pixels=True)) as frames:
        shown = [np.asarray(frame.pixels, int) for frame in frames]
    for a, b, place in zip(shown, read_images(out), places[1], strict=True):
        rows, columns = np.nonzero((np.abs(a - b) > 40).any(2))
        found = [columns.min(), rows.min(), columns.max(), rows.max()]
        wanted = np.clip(place.T.reshape(-1), 0, SIDE - 1)  # of the clip of square pixels
        assert np.abs(found - wanted).max() < 12
