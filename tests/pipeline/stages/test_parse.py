"""`thcli parse`: labels, masks, overlays; clips, images, folders; rejected options."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.pipeline.stages.made_videos import FRAMES, SIDE, Thcli, read_images
from thcli import media
from thcli.core.types import Image
from thcli.faces.parsing import CLASSES, PALETTE, class_number


def labels(path: Path) -> Image:
    """Read a label map."""
    with Pillow.open(path) as image:
        assert image.mode == "P"
        colours = image.getpalette()
        assert colours is not None
        assert colours[: PALETTE.size] == PALETTE.ravel().tolist()
        return np.asarray(image, np.uint8)


def test_labels_of_a_clip_are_palette_images_of_every_frame(
    thcli: Thcli, clip: Path, tmp_path: Path
) -> None:
    ran = thcli(
        "parse", clip, "-o", f"{tmp_path}/out/", "--end", 0.2, "--parser", "mesh-parse", "--json"
    )
    assert ran.code == 0, ran.err
    report = ran.report
    assert (report["frames"], report["faces"], report["passed_through"]) == (5, 1, 0)
    assert (report["kind"], report["parser"], report["engine"], report["smooth"]) == (
        "labels",
        "mesh-parse",
        "mesh-parse",
        True,
    )
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        f"{i:06d}.png" for i in range(5)
    ]
    for path in (tmp_path / "out").iterdir():
        found = labels(path)
        assert found.shape == (SIDE, SIDE)
        assert {
            class_number(n) for n in ("skin", "hair", "nose", "l_eye", "r_eye", "u_lip", "cloth")
        } <= set(np.unique(found))
        left, right = (
            np.argwhere(found == class_number(n))[:, 1].mean() for n in ("r_eye", "l_eye")
        )
        assert left < right
    assert list(report["regions"]) == list(CLASSES[1:])
    assert sum(report["regions"].values()) == pytest.approx(1, abs=0.01)
    assert report["regions"]["skin"] > 0.15


def test_a_mask_is_a_soft_video_with_sound(thcli: Thcli, clip: Path, tmp_path: Path) -> None:
    video = tmp_path / "mask.mp4"
    ran = thcli(
        "parse", clip, "-o", video, "--regions", "face, hair", "--licence", "free", "--json"
    )
    assert (ran.code, ran.report["kind"], ran.report["parser"]) == (0, "mask", "mesh-parse")
    info = media.probe(video)
    assert (info.size, info.frames, len(info.audio)) == ((SIDE, SIDE), FRAMES, 1)
    for mask in read_images(video):
        assert mask[100:130, 115:140].min() > 220
        assert mask[-20:, :20].max() < 60
        assert ((mask > 40) & (mask < 215)).any()


def test_an_overlay_shows_the_clip_where_there_is_no_face(
    thcli: Thcli, gap: Path, tmp_path: Path
) -> None:
    ran = thcli("parse", gap, "-o", tmp_path / "o.mp4", "--crf", 8, "--json")
    assert (ran.code, ran.report["kind"], ran.report["passed_through"]) == (0, "overlay", 4)
    for i, (a, b) in enumerate(zip(read_images(gap), read_images(tmp_path / "o.mp4"), strict=True)):
        change = np.abs(a.astype(float) - b).mean()
        assert (change < 2) == (5 <= i < 9)


def test_one_face_or_all(thcli: Thcli, pair: Path, tmp_path: Path) -> None:
    halves = {}
    for choice in (0, 1, "all"):
        out = tmp_path / str(choice)
        ran = thcli(
            "parse",
            pair,
            "-o",
            f"{out}/",
            "--end",
            0.08,
            "--face",
            choice,
            "--parser",
            "mesh-parse",
            "--json",
        )
        assert ran.code == 0, ran.err
        found = labels(out / "000000.png")
        assert found.shape == (SIDE, 2 * SIDE)
        skin = found == class_number("skin")
        halves[choice] = (skin[:, :SIDE].sum() > 2000, skin[:, SIDE:].sum() > 2000)
    assert halves == {0: (True, False), 1: (False, True), "all": (True, True)}


def test_an_image_and_a_folder_of_images(
    thcli: Thcli, photo: Path, blank: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(photo, folder / "b.png")
    shutil.copy(blank, folder / "c.png")
    with Pillow.open(photo) as image:
        image.resize((300, 200)).save(folder / "a.jpg")
    ran = thcli("parse", folder, "--json", "--parser", "mesh-parse")
    assert (ran.code, ran.report["frames"], ran.report["passed_through"]) == (0, 3, 1)
    assert ran.report["output"] == str(tmp_path / "in_parse")
    shapes = {p.name: labels(p).shape for p in (tmp_path / "in_parse").iterdir()}
    assert shapes == {"a.png": (200, 300), "b.png": (SIDE, SIDE), "c.png": (SIDE, SIDE)}
    assert not labels(tmp_path / "in_parse" / "c.png").any()
    shutil.copy(photo, tmp_path / "one.png")
    ran = thcli("parse", tmp_path / "one.png", "--json", "--parser", "mesh-parse")
    assert (ran.code, ran.report["output"]) == (0, str(tmp_path / "one_parse.png"))
    assert (labels(tmp_path / "one_parse.png") == labels(tmp_path / "in_parse" / "b.png")).all()


def test_masks_and_overlays_can_be_images(thcli: Thcli, photo: Path, tmp_path: Path) -> None:
    assert thcli("parse", photo, "-o", tmp_path / "m.png", "--regions", "face").code == 0
    assert thcli("parse", photo, "-o", tmp_path / "o.png", "--kind", "overlay").code == 0
    with Pillow.open(tmp_path / "m.png") as mask, Pillow.open(tmp_path / "o.png") as overlay:
        assert (mask.mode, overlay.mode) == ("L", "RGB")
        assert np.asarray(mask).max() == 255


@pytest.mark.parametrize(
    ("words", "output", "code"),
    [
        (("--kind", "labels"), "x.mp4", 2),
        (("--regions", "beard"), "x.mp4", 2),
        (("--regions", " , "), "x.mp4", 2),
        (("--parser", "nobody"), "x.mp4", 2),
        (("--opacity", 2), "x.mp4", 2),
        (("--fps", 5), "x/", 2),
        ((), "x.jpg", 2),
        ((), "x.png", 2),  # many frames, one image
        (("--face", 4), "x.mp4", 4),
        (("--licence", "free", "--parser", "facexlib"), "x.mp4", 5),
    ],
)
def test_a_rejected_command_writes_nothing(
    thcli: Thcli, clip: Path, tmp_path: Path, words: tuple[object, ...], output: str, code: int
) -> None:
    ran = thcli("parse", clip, "-o", f"{tmp_path}/{output}", "--end", 0.1, *words)
    assert ran.code == code, ran.err
    assert list(tmp_path.iterdir()) == []


def test_no_face_and_an_existing_output(
    thcli: Thcli, blank: Path, photo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.png"
    assert thcli("parse", blank, "-o", out).code == 4
    assert list(tmp_path.iterdir()) == []
    assert thcli("parse", tmp_path / "no.mp4", "-o", out).code == 3
    assert thcli("parse", photo, "-o", out, "--dry-run").code == 0
    assert not out.exists()
    out.write_text("mine")
    assert thcli("parse", photo, "-o", out).code == 7
    assert out.read_text() == "mine"
    assert thcli("parse", photo, "-o", out, "--overwrite").code == 0
    assert labels(out).any()


def test_a_resumed_job_is_the_same(thcli: Thcli, clip: Path, tmp_path: Path) -> None:
    words = ("parse", clip, "--end", 0.3, "--regions", "face", "-o")
    assert thcli(*words, tmp_path / "a.mp4", "--batch-size", 2).code == 0
    assert thcli(*words, tmp_path / "b.mp4", "--resume").code == 0
    for a, b in zip(read_images(tmp_path / "a.mp4"), read_images(tmp_path / "b.mp4"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_regions_are_listed(thcli: Thcli) -> None:
    rows = thcli("list", "regions", "--json").report["rows"]
    assert [row["region"] for row in rows] == list(CLASSES)
    assert rows[13] == {
        "number": 13,
        "region": "hair",
        "colour": "#965ac8",
        "groups": ["hair", "head"],
    }
