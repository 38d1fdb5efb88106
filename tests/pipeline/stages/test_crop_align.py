"""`thcli crop`, `thcli align` and `thcli paste`."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.stages.made_videos import FRAMES, SIDE, Thcli, read_images
from thcli import media
from thcli.core.options import RunOptions
from thcli.core.types import Face, Image
from thcli.faces.backends import LANDMARKERS
from thcli.faces.crops.crop import corners
from thcli.pipeline.observe.crop_track import CropTrack
from thcli.weights.backend import Backend


def psnr(a: Image, b: Image) -> float:
    """Compute the peak signal-to-noise ratio in dB."""
    return float(
        10 * np.log10(255**2 / max(np.square(a.astype(float) - b).mean(), 1e-9))
    )  # equal: 138 dB


def folder(path: Path, images: list[Image]) -> Path:
    """Write a folder of PNGs."""
    with media.write(f"{path}/", (images[0].shape[1], images[0].shape[0])) as out:
        for i, image in enumerate(images):
            out.write(image, i)
    return path


@pytest.fixture
def crops(thcli: Thcli, clip: Path, room: Path) -> Path:
    """Crop the clip, lossless."""
    path = room / "crops"
    if not path.exists():
        assert thcli("crop", clip, "-o", f"{path}/", "--size", 128, "-q").code == 0
    return path


def test_crop_writes_a_video_with_sound_and_a_crop_track(
    thcli: Thcli, clip: Path, tmp_path: Path
) -> None:
    video = tmp_path / "x.mp4"
    ran = thcli("crop", clip, "-o", video, "--size", 128, "--json")
    assert ran.code == 0
    assert (ran.report["frames"], ran.report["faces"], ran.report["passed_through"]) == (
        FRAMES,
        1,
        0,
    )
    info = media.probe(video)
    assert (info.size, info.frames, len(info.audio)) == ((128, 128), FRAMES, 1)
    crop_track = CropTrack(tmp_path / "x.crops.safetensors")
    assert ran.report["crops"] == str(crop_track.file.path)
    assert (len(crop_track), crop_track.size, crop_track.frame_size) == (
        FRAMES,
        (128, 128),
        (SIDE, SIDE),
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.crops.safetensors", "x.mp4"]
    for tracked in crop_track:
        assert tracked.outline is not None
        inside = (tracked.placement.crop_from_frame @ np.c_[tracked.outline, np.ones(36)].T)[:2]
        assert inside.min() > 0.15 * 128  # at scale 2 the face covers half of the crop
        assert inside.max() < 0.85 * 128


@pytest.mark.parametrize("template", ["arcface", "ffhq", "liveportrait"])
def test_crop_of_a_template_aligns_the_eyes(
    thcli: Thcli, clip: Path, template: str, tmp_path: Path
) -> None:
    words = (
        "crop",
        clip,
        "-o",
        tmp_path / "c.mp4",
        "--size",
        112,
        "--end",
        0.2,
        "--template",
        template,
    )
    assert thcli(*words).code == 0
    assert thcli("track", tmp_path / "c.mp4", "-o", tmp_path / "t.jsonl").code == 0
    rows = thcli("track", tmp_path / "c.mp4").rows
    eyes = np.array([row["faces"][0]["keypoints"][:2] for row in rows])
    assert np.ptp(eyes, axis=0).max() < 4
    assert np.abs(eyes[:, 0, 1] - eyes[:, 1, 1]).max() < 4  # upright
    if template == "arcface":
        assert np.allclose(eyes.mean(0), [[38.3, 51.7], [73.5, 51.5]], atol=4)


@pytest.mark.parametrize("name", ["gap", "scenes"])
def test_frames_without_the_face_have_an_interpolated_crop(
    thcli: Thcli, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    ran = thcli(
        "crop", request.getfixturevalue(name), "-o", tmp_path / "c.mp4", "--size", 64, "--json"
    )
    assert (ran.code, ran.report["frames"], ran.report["passed_through"]) == (0, 13, 4)
    crop_track = list(CropTrack(tmp_path / "c.crops.safetensors"))
    assert [tracked.outline is None for tracked in crop_track] == [5 <= i < 9 for i in range(13)]
    centres = np.array([corners(tracked.placement).mean(0) for tracked in crop_track])
    ends = centres[[4, 9]]
    assert (centres[5:9] >= ends.min(0) - 1).all()
    assert (centres[5:9] <= ends.max(0) + 1).all()


def test_pasting_unchanged_crops_restores_the_clip(
    thcli: Thcli, clip: Path, tmp_path: Path
) -> None:
    video, back = tmp_path / "c.mp4", tmp_path / "back.mp4"
    assert thcli("crop", clip, "-o", video, "--crf", 8).code == 0
    ran = thcli("paste", video, clip, "-o", back, "--crf", 8, "--json")
    assert ran.code == 0
    assert (ran.report["frames"], ran.report["passed_through"]) == (FRAMES, 0)
    info, was = media.probe(back), media.probe(clip)
    assert (info.size, info.frames, info.rate, len(info.audio)) == (
        was.size,
        was.frames,
        was.rate,
        1,
    )
    for a, b in zip(read_images(clip), read_images(back), strict=True):
        assert psnr(a, b) > 38


@pytest.mark.parametrize("mask", ["face", "crop"])
def test_pixels_outside_of_the_mask_do_not_change(
    thcli: Thcli, clip: Path, crops: Path, mask: str, tmp_path: Path
) -> None:
    inverted = folder(tmp_path / "inverted", [255 - image for image in read_images(crops)])
    beside = crops.with_name("crops.crops.safetensors")
    words = ("--crops", beside, "--mask", mask, "--no-colour-match")
    assert thcli("paste", inverted, clip, "-o", f"{tmp_path}/out/", *words).code == 0
    before, after = read_images(clip), read_images(tmp_path / "out")
    for a, b, tracked in zip(before, after, CropTrack(beside), strict=True):
        around = corners(tracked.placement) if mask == "crop" else np.asarray(tracked.outline)
        margin = 0 if mask == "crop" else 0.1 * np.ptp(corners(tracked.placement)[:, 0])
        (x0, y0), (x1, y1) = (
            np.floor(around.min(0) - margin).astype(int),
            np.ceil(around.max(0) + margin).astype(int) + 1,
        )
        changed = np.argwhere((a != b).any(-1))
        assert changed[:, 0].min() >= max(y0, 0)
        assert changed[:, 1].min() >= max(x0, 0)
        assert changed[:, 0].max() < y1
        assert changed[:, 1].max() < x1
        x, y = np.asarray(tracked.outline).mean(0).astype(int)
        assert np.allclose(b[y, x], 255 - a[y, x].astype(int), atol=12)


def test_colours_are_matched(thcli: Thcli, clip: Path, crops: Path, tmp_path: Path) -> None:
    tinted = folder(
        tmp_path / "tinted",
        [
            np.clip(image * [1.0, 0.9, 0.85] + 8, 0, 255).astype(np.uint8)
            for image in read_images(crops)
        ],
    )
    beside = crops.with_name("crops.crops.safetensors")
    errors = []
    for name, flag in (("raw", "--no-colour-match"), ("matched", "--colour-match")):
        assert (
            thcli("paste", tinted, clip, "-o", f"{tmp_path}/{name}/", "--crops", beside, flag).code
            == 0
        )
        pasted, original = read_images(tmp_path / name), read_images(clip)
        errors.append(np.abs(np.array(pasted, float) - np.array(original)).mean())
    assert errors[1] < 0.5 * errors[0]


def test_crops_of_a_range_are_pasted_into_the_whole_clip(
    thcli: Thcli, clip: Path, tmp_path: Path
) -> None:
    assert thcli("crop", clip, "-o", tmp_path / "c.mp4", "--start", 0.2, "--end", 0.4).code == 0
    ran = thcli("paste", tmp_path / "c.mp4", clip, "-o", f"{tmp_path}/out/", "--json")
    assert (ran.report["frames"], ran.report["passed_through"]) == (FRAMES, FRAMES - 5)
    same = [
        bool((a == b).all())
        for a, b in zip(read_images(clip), read_images(tmp_path / "out"), strict=True)
    ]
    assert same == [not 5 <= i < 10 for i in range(FRAMES)]


def test_enlarged_crops_can_be_pasted(
    thcli: Thcli, clip: Path, crops: Path, tmp_path: Path
) -> None:
    enlarged = [np.repeat(np.repeat(image, 2, 0), 2, 1) for image in read_images(crops)]
    large = folder(tmp_path / "large", enlarged)
    beside = crops.with_name("crops.crops.safetensors")
    assert thcli("paste", large, clip, "-o", f"{tmp_path}/out/", "--crops", beside).code == 0
    pairs = zip(read_images(clip), read_images(tmp_path / "out"), strict=True)
    assert min(psnr(a, b) for a, b in pairs) > 32


def test_crops_of_another_clip_are_rejected(
    thcli: Thcli, clip: Path, pair: Path, crops: Path, room: Path, tmp_path: Path
) -> None:
    beside, out = crops.with_name("crops.crops.safetensors"), tmp_path / "out.mp4"

    def refused(frames: Path, cropped: Path, *words: object) -> str:
        ran = thcli("paste", cropped, frames, "-o", out, *words)
        assert ran.code == 3
        assert not out.exists()
        return ran.err

    images = read_images(crops)
    few = folder(tmp_path / "few", images[:-3])
    assert "has 13 frames" in refused(clip, few, "--crops", beside)
    assert "512 x 256" in refused(pair, crops)
    flat = folder(tmp_path / "flat", [image[:64] for image in images])
    assert "another shape" in refused(clip, flat, "--crops", beside)
    shutil.copytree(crops, tmp_path / "alone")
    assert "cannot be read" in refused(clip, tmp_path / "alone")
    wrong = tmp_path / "x.motion.safetensors"
    assert thcli("encode", clip, "-o", wrong, "--end", 0.2).code == 0
    assert "does not contain the placement of crops" in refused(clip, crops, "--crops", wrong)
    assert thcli("crop", clip, "-o", tmp_path / "late.mp4", "--start", 0.3).code == 0
    first = tmp_path / "first.mp4"
    assert thcli("crop", clip, "-o", first, "--end", 0.2, "--size", SIDE).code == 0
    assert "no frame for the crop" in refused(first, tmp_path / "late.mp4")


def test_crop_errors(thcli: Thcli, clip: Path, pair: Path, blank: Path, tmp_path: Path) -> None:
    video = tmp_path / "c.mp4"
    assert thcli("crop", blank, "-o", video).code == 4
    assert thcli("crop", tmp_path / "no.mp4", "-o", video).code == 3
    assert thcli("crop", clip, "-o", video, "--template", "nose").code == 2
    assert thcli("crop", clip, "-o", video, "--size", 4).code == 2
    assert thcli("crop", clip, "-o", video, "--fps", 10).code == 2
    assert thcli("crop", pair, "-o", video, "--face", "all").code == 2
    assert thcli("crop", pair, "-o", video, "--face", 2).code == 4
    assert list(tmp_path.iterdir()) == []
    beside = tmp_path / "c.crops.safetensors"
    beside.write_text("mine")
    assert thcli("crop", clip, "-o", video).code == 7
    assert beside.read_text() == "mine"
    assert not video.exists()


def test_crop_takes_the_chosen_face(thcli: Thcli, pair: Path, tmp_path: Path) -> None:
    for number, side in ((0, 0), (1, SIDE)):
        path = tmp_path / f"{number}.mp4"
        assert thcli("crop", pair, "-o", path, "--face", number, "--size", 64).code == 0
        centres = [
            corners(tracked.placement)[:, 0].mean()
            for tracked in CropTrack(tmp_path / f"{number}.crops.safetensors")
        ]
        assert all(side < x < side + SIDE for x in centres)


def test_align_crops_an_image(thcli: Thcli, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "face.png"
    ran = thcli("align", photo, "-o", out, "--template", "arcface", "--size", 112, "--json")
    assert ran.code == 0
    assert (ran.report["frames"], ran.report["pictures"]) == (1, [0])
    assert media.probe(out).size == (112, 112)
    (face,) = thcli("track", out).rows[0]["faces"]
    assert np.allclose(face["keypoints"][:2], [[38.3, 51.7], [73.5, 51.5]], atol=4)
    assert thcli("align", photo, "-o", out).code == 7


def test_align_crops_a_folder_and_reports_the_images(
    thcli: Thcli, photo: Path, blank: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for name, path in (("a.png", photo), ("b.png", blank), ("c.png", photo)):
        shutil.copy(path, tmp_path / "in" / name)
    ran = thcli("align", tmp_path / "in", "--json", "--size", 64)
    assert (ran.report["output"], ran.report["pictures"]) == (
        str(tmp_path / "in_aligned"),
        ["a.png", "c.png"],
    )
    assert ran.report["passed_through"] == 1
    assert len(read_images(tmp_path / "in_aligned")) == 2


def test_align_errors(thcli: Thcli, photo: Path, blank: Path, pair: Path, tmp_path: Path) -> None:
    out = tmp_path / "face.png"
    assert thcli("align", blank, "-o", out).code == 4
    assert thcli("align", tmp_path, "-o", out).code == 3
    assert thcli("align", photo, "-o", out, "--face", 3).code == 4
    assert thcli("align", photo, "-o", out, "--resume").code == 2
    assert (
        thcli("align", pair, "-o", out, "--face", "all").code == 2
    )  # several faces need several images
    assert list(tmp_path.iterdir()) == []
    both = thcli("align", pair, "-o", f"{tmp_path}/both/", "--face", "all", "--end", 0.08, "--json")
    assert (both.report["frames"], both.report["pictures"]) == (4, [0, 0, 1, 1])


class FivePoints:
    """A landmarker without a mesh: the detector's keypoints as five points."""

    def fit(self, image: Image, face: Face) -> Face | None:
        assert face.keypoints is not None
        eyes_and_nose, mouth = face.keypoints[:3], face.keypoints[3]
        apart = 0.4 * (face.keypoints[1] - face.keypoints[0])
        points = np.stack([*eyes_and_nose, mouth - apart, mouth + apart])
        return replace(face, points=points.astype(np.float32))


def load_five_points(run: RunOptions) -> FivePoints:
    return FivePoints()


def test_align_takes_any_landmarker_and_other_commands_name_the_remedy(
    thcli: Thcli, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Backend(f"{__name__}:load_five_points", "five points")
    monkeypatch.setitem(LANDMARKERS.rows, "five", row)
    face, mesh = tmp_path / "points.png", tmp_path / "mesh.png"
    words = ("align", photo, "--template", "arcface", "--size", 112, "-o")
    assert thcli(*words, face, "--landmarker", "five").code == 0
    assert thcli(*words, mesh).code == 0
    eyes = [
        np.array(thcli("track", path).rows[0]["faces"][0]["keypoints"][:2]) for path in (face, mesh)
    ]
    assert np.allclose(eyes[0], eyes[1], atol=6)
    refused = thcli("parse", photo, "--landmarker", "five", "-o", tmp_path / "regions.png")
    assert refused.code == 2 and "--landmarker facemesh" in refused.err


def test_an_image_is_cropped_and_pasted(thcli: Thcli, photo: Path, tmp_path: Path) -> None:
    face, back = tmp_path / "face.png", tmp_path / "back.png"
    assert thcli("crop", photo, "-o", face).code == 0
    assert thcli("paste", face, photo, "-o", back).code == 0
    assert psnr(media.read_image(photo), media.read_image(back)) > 35


def test_a_resumed_crop_is_the_same(thcli: Thcli, clip: Path, tmp_path: Path) -> None:
    words = ("crop", clip, "--size", 64, "-o")
    assert thcli(*words, tmp_path / "a.mp4").code == 0
    assert thcli(*words, tmp_path / "b.mp4", "--resume").code == 0
    a, b = read_images(tmp_path / "a.mp4"), read_images(tmp_path / "b.mp4")
    assert all((x == y).all() for x, y in zip(a, b, strict=True))
    assert (tmp_path / "a.crops.safetensors").read_bytes() == (
        tmp_path / "b.crops.safetensors"
    ).read_bytes()
