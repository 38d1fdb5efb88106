"""`thcli crop`, `thcli align` and `thcli paste`, and that a crop pasted back is the clip again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.stages.made_videos import FRAMES, SIDE, Thcli, pictures
from thcli import media
from thcli.core.types import Image
from thcli.faces.crops.crop import corners
from thcli.pipeline.observe.crop_track import CropTrack


def psnr(a: Image, b: Image) -> float:
    return float(
        10 * np.log10(255**2 / max(np.square(a.astype(float) - b).mean(), 1e-9))
    )  # equal: 138 dB


def folder(path: Path, images: list[Image]) -> Path:
    with media.write(f"{path}/", (images[0].shape[1], images[0].shape[0])) as out:
        for i, image in enumerate(images):
            out.write(image, i)
    return path


@pytest.fixture
def crops(thcli: Thcli, clip: Path, room: Path) -> Path:
    """The clip's crops, without loss, and where they lie."""
    path = room / "crops"
    if not path.exists():
        assert thcli("crop", clip, "-o", f"{path}/", "--size", 128, "-q").code == 0
    return path


def test_crop_writes_crops_with_sound_and_where_they_lie(
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
    places = CropTrack(tmp_path / "x.crops.safetensors")
    assert ran.report["crops"] == str(places.file.path)
    assert (len(places), places.size, places.frame_size) == (FRAMES, (128, 128), (SIDE, SIDE))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.crops.safetensors", "x.mp4"]
    for place in places:
        assert place.outline is not None
        inside = (place.where.crop_from_frame @ np.c_[place.outline, np.ones(36)].T)[:2]
        assert inside.min() > 0.15 * 128  # half of a crop of scale 2 is the face's
        assert inside.max() < 0.85 * 128


@pytest.mark.parametrize("template", ["arcface", "ffhq", "liveportrait"])
def test_crop_of_a_template_keeps_the_eyes_in_place(
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
def test_frames_without_the_face_hold_a_place_between(
    thcli: Thcli, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    ran = thcli(
        "crop", request.getfixturevalue(name), "-o", tmp_path / "c.mp4", "--size", 64, "--json"
    )
    assert (ran.code, ran.report["frames"], ran.report["passed_through"]) == (0, 13, 4)
    places = list(CropTrack(tmp_path / "c.crops.safetensors"))
    assert [place.outline is None for place in places] == [5 <= i < 9 for i in range(13)]
    middles = np.array([corners(place.where).mean(0) for place in places])
    ends = middles[[4, 9]]
    assert (middles[5:9] >= ends.min(0) - 1).all()
    assert (middles[5:9] <= ends.max(0) + 1).all()


def test_a_pasted_crop_is_the_clip_again(thcli: Thcli, clip: Path, tmp_path: Path) -> None:
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
    for a, b in zip(pictures(clip), pictures(back), strict=True):
        assert psnr(a, b) > 38


@pytest.mark.parametrize("mask", ["face", "crop"])
def test_what_is_outside_stays_bit_for_bit(
    thcli: Thcli, clip: Path, crops: Path, mask: str, tmp_path: Path
) -> None:
    inverted = folder(tmp_path / "inverted", [255 - image for image in pictures(crops)])
    beside = crops.with_name("crops.crops.safetensors")
    words = ("--crops", beside, "--mask", mask, "--no-colour-match")
    assert thcli("paste", inverted, clip, "-o", f"{tmp_path}/out/", *words).code == 0
    before, after = pictures(clip), pictures(tmp_path / "out")
    for a, b, place in zip(before, after, CropTrack(beside), strict=True):
        around = corners(place.where) if mask == "crop" else np.asarray(place.outline)
        room = 0 if mask == "crop" else 0.1 * np.ptp(corners(place.where)[:, 0])
        (x0, y0), (x1, y1) = (
            np.floor(around.min(0) - room).astype(int),
            np.ceil(around.max(0) + room).astype(int) + 1,
        )
        changed = np.argwhere((a != b).any(-1))
        assert changed[:, 0].min() >= max(y0, 0)
        assert changed[:, 1].min() >= max(x0, 0)
        assert changed[:, 0].max() < y1
        assert changed[:, 1].max() < x1
        x, y = np.asarray(place.outline).mean(0).astype(int)
        assert np.allclose(b[y, x], 255 - a[y, x].astype(int), atol=12)


def test_colours_are_matched(thcli: Thcli, clip: Path, crops: Path, tmp_path: Path) -> None:
    tinted = folder(
        tmp_path / "tinted",
        [
            np.clip(image * [1.0, 0.9, 0.85] + 8, 0, 255).astype(np.uint8)
            for image in pictures(crops)
        ],
    )
    beside = crops.with_name("crops.crops.safetensors")
    errors = []
    for name, flag in (("raw", "--no-colour-match"), ("matched", "--colour-match")):
        assert (
            thcli("paste", tinted, clip, "-o", f"{tmp_path}/{name}/", "--crops", beside, flag).code
            == 0
        )
        errors.append(
            np.abs(np.array(pictures(tmp_path / name), float) - np.array(pictures(clip))).mean()
        )
    assert errors[1] < 0.5 * errors[0]


def test_crops_of_a_part_go_back_into_the_whole(thcli: Thcli, clip: Path, tmp_path: Path) -> None:
    assert thcli("crop", clip, "-o", tmp_path / "c.mp4", "--start", 0.2, "--end", 0.4).code == 0
    ran = thcli("paste", tmp_path / "c.mp4", clip, "-o", f"{tmp_path}/out/", "--json")
    assert (ran.report["frames"], ran.report["passed_through"]) == (FRAMES, FRAMES - 5)
    same = [
        bool((a == b).all())
        for a, b in zip(pictures(clip), pictures(tmp_path / "out"), strict=True)
    ]
    assert same == [not 5 <= i < 10 for i in range(FRAMES)]


def test_crops_may_come_back_larger(thcli: Thcli, clip: Path, crops: Path, tmp_path: Path) -> None:
    large = folder(
        tmp_path / "large", [np.repeat(np.repeat(image, 2, 0), 2, 1) for image in pictures(crops)]
    )
    beside = crops.with_name("crops.crops.safetensors")
    assert thcli("paste", large, clip, "-o", f"{tmp_path}/out/", "--crops", beside).code == 0
    assert (
        min(psnr(a, b) for a, b in zip(pictures(clip), pictures(tmp_path / "out"), strict=True))
        > 32
    )


def test_what_does_not_belong_together_is_told(
    thcli: Thcli, clip: Path, pair: Path, crops: Path, room: Path, tmp_path: Path
) -> None:
    beside, out = crops.with_name("crops.crops.safetensors"), tmp_path / "out.mp4"

    def refused(frames: Path, cropped: Path, *words: object) -> str:
        ran = thcli("paste", cropped, frames, "-o", out, *words)
        assert ran.code == 3
        assert not out.exists()
        return ran.err

    images = pictures(crops)
    few = folder(tmp_path / "few", images[:-3])
    assert "has 13 frames" in refused(clip, few, "--crops", beside)
    assert "512 x 256" in refused(pair, crops)
    flat = folder(tmp_path / "flat", [image[:64] for image in images])
    assert "another shape" in refused(clip, flat, "--crops", beside)
    shutil.copytree(crops, tmp_path / "alone")
    assert "cannot be read" in refused(clip, tmp_path / "alone")
    wrong = tmp_path / "x.motion.safetensors"
    assert thcli("encode", clip, "-o", wrong, "--end", 0.2).code == 0
    assert "does not say where crops lie" in refused(clip, crops, "--crops", wrong)
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


def test_crop_takes_the_face_that_is_meant(thcli: Thcli, pair: Path, tmp_path: Path) -> None:
    for number, side in ((0, 0), (1, SIDE)):
        path = tmp_path / f"{number}.mp4"
        assert thcli("crop", pair, "-o", path, "--face", number, "--size", 64).code == 0
        middles = [
            corners(place.where)[:, 0].mean()
            for place in CropTrack(tmp_path / f"{number}.crops.safetensors")
        ]
        assert all(side < x < side + SIDE for x in middles)


def test_align_cuts_a_picture(thcli: Thcli, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "face.png"
    ran = thcli("align", photo, "-o", out, "--template", "arcface", "--size", 112, "--json")
    assert ran.code == 0
    assert (ran.report["frames"], ran.report["pictures"]) == (1, [0])
    assert media.probe(out).size == (112, 112)
    (face,) = thcli("track", out).rows[0]["faces"]
    assert np.allclose(face["keypoints"][:2], [[38.3, 51.7], [73.5, 51.5]], atol=4)
    assert thcli("align", photo, "-o", out).code == 7


def test_align_cuts_a_folder_and_names_what_it_took(
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
    assert len(pictures(tmp_path / "in_aligned")) == 2


def test_align_errors(thcli: Thcli, photo: Path, blank: Path, pair: Path, tmp_path: Path) -> None:
    out = tmp_path / "face.png"
    assert thcli("align", blank, "-o", out).code == 4
    assert thcli("align", tmp_path, "-o", out).code == 3
    assert thcli("align", photo, "-o", out, "--face", 3).code == 4
    assert thcli("align", photo, "-o", out, "--resume").code == 2
    assert (
        thcli("align", pair, "-o", out, "--face", "all").code == 2
    )  # several do not go into one picture
    assert list(tmp_path.iterdir()) == []
    both = thcli("align", pair, "-o", f"{tmp_path}/both/", "--face", "all", "--end", 0.08, "--json")
    assert (both.report["frames"], both.report["pictures"]) == (4, [0, 0, 1, 1])


def test_a_picture_is_cropped_and_pasted_as_well(thcli: Thcli, photo: Path, tmp_path: Path) -> None:
    face, back = tmp_path / "face.png", tmp_path / "back.png"
    assert thcli("crop", photo, "-o", face).code == 0
    assert thcli("paste", face, photo, "-o", back).code == 0
    assert psnr(media.read_image(photo), media.read_image(back)) > 35


def test_a_resumed_crop_is_the_same(thcli: Thcli, clip: Path, tmp_path: Path) -> None:
    words = ("crop", clip, "--size", 64, "-o")
    assert thcli(*words, tmp_path / "a.mp4").code == 0
    assert thcli(*words, tmp_path / "b.mp4", "--resume").code == 0
    a, b = pictures(tmp_path / "a.mp4"), pictures(tmp_path / "b.mp4")
    assert all((x == y).all() for x, y in zip(a, b, strict=True))
    assert (tmp_path / "a.crops.safetensors").read_bytes() == (
        tmp_path / "b.crops.safetensors"
    ).read_bytes()
