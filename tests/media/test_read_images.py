"""Reading of images and of folders of them."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tests.media.clips as clips
from thcli import media
from thcli.core.errors import MediaError
from thcli.core.imaging import to_uint8
from thcli.core.options import ReadOptions
from thcli.media.reading import image
from thcli.media.reading.open_image import open_image
from thcli.media.reading.pixel_limit import PixelLimit


def test_still_images(tmp_path: Path) -> None:
    pixels = clips.draw_patches()
    for suffix in (".png", ".bmp", ".tiff", ".webp", ".jpg", ".avif"):
        more = {"lossless": True} if suffix == ".webp" else {"quality": 95}
        Image.fromarray(pixels).save(tmp_path / f"a{suffix}", **more)
        info = media.probe(tmp_path / f"a{suffix}")
        assert (info.kind, info.size, info.frames) == ("image", clips.SIZE, 1)
        (frame,) = media.read(tmp_path / f"a{suffix}")
        assert np.abs(frame.pixels.astype(int) - pixels).mean() < 4
        np.testing.assert_array_equal(frame.pixels, media.read_image(tmp_path / f"a{suffix}"))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("RGBA", (127, 128, 0)),
        ("LA", (127, 255, 127)),
        ("P", (255, 0, 0)),
        ("L", (100, 100, 100)),
        ("CMYK", (255, 255, 255)),
        ("I;16", (78, 78, 78)),
    ],
)
def test_modes_and_transparency(tmp_path: Path, mode: str, expected: tuple[int, int, int]) -> None:
    path = tmp_path / ("a.tiff" if mode in ("CMYK",) else "a.png")
    fill: dict[str, object] = {
        "RGBA": (255, 0, 0, 127),
        "LA": (255, 127),
        "L": 100,
        "I;16": 20000,
        "CMYK": (0, 0, 0, 0),
    }
    if mode == "P":
        Image.new("RGB", (8, 8), (255, 0, 0)).quantize(4).save(path)
    else:
        Image.new(mode, (8, 8), fill[mode]).save(path)  # type: ignore[arg-type]
    assert np.abs(media.read_image(path, "#00ff00")[4, 4].astype(int) - expected).max() <= 1


def test_a_deep_png_stays_deep_when_read_as_a_stream(tmp_path: Path) -> None:
    pixels = (np.random.default_rng(0).integers(0, 65536, (20, 30, 3))).astype(np.uint16)
    with media.write(tmp_path / "a.png", (30, 20)) as writer:
        writer.write(pixels, 0)
    (frame,) = media.read(tmp_path / "a.png")
    np.testing.assert_array_equal(frame.pixels, pixels)
    assert media.probe(tmp_path / "a.png").bit_depth == 16
    assert media.read_image(tmp_path / "a.png").dtype == np.uint8


def test_an_image_is_recognised_without_a_file_extension(tmp_path: Path) -> None:
    for form in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"):
        Image.fromarray(clips.draw_patches()).save(tmp_path / "upload", form)
        assert media.probe(tmp_path / "upload").kind == "image"
        assert media.read_image(tmp_path / "upload").shape == (80, 64, 3)


def test_the_first_frame_of_a_video_is_an_image_too(tmp_path: Path) -> None:
    clips.write_clip(
        tmp_path / "in.mp4", clips.ClipSpec("libx264", "yuv420p10le", rotation=(90, False, False))
    )
    first = next(iter(media.read(tmp_path / "in.mp4"))).pixels
    np.testing.assert_array_equal(media.read_image(tmp_path / "in.mp4"), to_uint8(first))


def test_pictures_that_pillow_does_not_recognise_are_images(tmp_path: Path) -> None:
    pixels = clips.draw_patches()
    for suffix in (".tga", ".pcx", ".pbm", ".j2k"):
        Image.fromarray(pixels).save(tmp_path / f"a{suffix}", "PPM" if suffix == ".pbm" else None)
        assert media.probe(tmp_path / f"a{suffix}").kind == "image"
        assert np.abs(media.read_image(tmp_path / f"a{suffix}").astype(int) - pixels).mean() < 9


def test_huge_images_are_halved(tmp_path: Path) -> None:
    Image.new("L", (10000, 5000), 90).save(tmp_path / "a.jpg")
    assert media.probe(tmp_path / "a.jpg").size == (5000, 2500)
    assert media.read_image(tmp_path / "a.jpg").shape == (2500, 5000, 3)
    Image.new("1", (20001, 10000)).save(tmp_path / "b.png")
    with pytest.raises(MediaError, match=r"limit is 200 megapixels.*--max-pixels 201"):
        media.read_image(tmp_path / "b.png")


def test_folders_with_the_names_of_images_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").mkdir()
    Image.fromarray(clips.draw_patches()).save(tmp_path / "b.png")
    assert media.probe(tmp_path).frames == 1
    assert len(list(media.read(tmp_path))) == 1


def test_a_folder_of_images_comes_in_natural_order(tmp_path: Path) -> None:
    for index in (1, 2, 10):
        Image.fromarray(clips.draw_patches(index)).save(tmp_path / f"shot{index}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    info = media.probe(tmp_path)
    assert (info.kind, info.frames, info.size) == ("directory", 3, clips.SIZE)
    frames = list(media.read(tmp_path))
    assert [int(frame.pixels[-1, -1, 0]) for frame in frames] == [50, 60, 140]
    assert [frame.pts for frame in frames] == [0, 1, 2]
    with media.read(tmp_path, ReadOptions(start=0.04, end=0.08)) as part:
        assert [frame.pts for frame in part] == [1]


def test_an_image_is_probed_anew_only_when_its_file_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job asks several times, and a large picture takes a tenth of a second to decode."""
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 30)).save(path)
    opened: list[Path] = []

    def count(path: Path, limit: PixelLimit) -> AbstractContextManager[Image.Image]:
        opened.append(path)
        return open_image(path, limit)

    monkeypatch.setattr(image, "open_image", count)
    assert [media.probe(path).size for _ in range(3)] == [(40, 30)] * 3
    assert len(opened) == 1
    Image.new("RGB", (50, 30)).save(path)
    os.utime(path, ns=(0, 0))
    assert media.probe(path).size == (50, 30)
    assert len(opened) == 2
    path.write_bytes(path.read_bytes()[:60])
    for _ in range(2):
        with pytest.raises(MediaError):
            media.probe(path)
