"""Formats and sizes of inputs: what is refused before any pixel is decoded, and its message."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from thcli import media
from thcli.cli.app import run
from thcli.core.errors import MediaError
from thcli.core.options import ReadOptions

SMALL, LARGE = (64, 48), (640, 480)
LIMIT = ReadOptions(max_pixels=0.1)


def h264(path: Path, size: tuple[int, int], muxer: str | None = None) -> Path:
    """Write three grey frames."""
    with av.open(str(path), "w", format=muxer) as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for _ in range(3):
            pixels = np.full((*size[::-1], 3), 90, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        out.mux(stream.encode(None))
    return path


def animation(path: Path, size: tuple[int, int], frames: int = 3) -> Path:
    """Write an animation of plain frames."""
    pictures = [Image.new("RGB", size, (40 * i % 256, 90, 0)) for i in range(frames)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    return path


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".bin"])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n", "a PostScript file"),
        (b"\xc5\xd0\xd3\xc6" + bytes(60), "a PostScript file"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
        (b"8BPS\0\1" + bytes(60), "a Photoshop file"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
    ],
)
def test_refused_formats_have_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, content: bytes, what: str
) -> None:
    def started(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen", started)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    for read in (media.probe, media.read_image):
        with pytest.raises(MediaError, match=f"is {what}.*Convert it to PNG or JPEG"):
            read(path)


@pytest.mark.parametrize("kind", ["PCX", "TGA", "ICO", "SGI", "DDS"])
def test_formats_that_pillow_alone_would_open(tmp_path: Path, kind: str) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png", kind)
    with pytest.raises(MediaError):
        media.probe(tmp_path / "a.png")


def test_the_second_image_of_a_jpeg_is_no_frame(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (64, 48), "red"), Image.new("RGB", (32, 24), "blue")
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    info = media.probe(tmp_path / "a.jpg")
    assert (info.kind, info.size, info.frames) == ("image", (64, 48), 1)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tiff", "a.mp4", "a.h264", "a.jpg"])
def test_large_inputs_name_size_limit_and_remedy(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith((".mp4", ".h264")):
        h264(path, LARGE)
    elif name.endswith(".jpg"):
        Image.new("RGB", LARGE).save(path)
    else:
        animation(path, LARGE)
    words = r"(640 x 480|307200) pixels; the limit is 0.1 megapixels\..*--max-pixels 1"
    with pytest.raises(MediaError, match=words):
        media.probe(path, LIMIT)
    with pytest.raises(MediaError, match=words):
        media.read_image(path, options=LIMIT)
    with pytest.raises(MediaError, match=words):
        media.read(path, LIMIT)
    assert media.probe(path, ReadOptions(max_pixels=1)).size == LARGE


def test_a_small_file_of_giant_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = animation(tmp_path / "a.gif", SMALL, 2)
    content = bytearray(wide.read_bytes())
    content[6:10] = (9000).to_bytes(2, "little") + (4500).to_bytes(2, "little")
    wide.write_bytes(content)

    def decoded(*_: object) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decoded)
    with pytest.raises(MediaError, match=r"9000 x 4500 pixels; the limit is 36.*--max-pixels 41"):
        media.probe(wide)


def test_all_frames_of_an_animation_together(tmp_path: Path) -> None:
    long = animation(tmp_path / "a.gif", SMALL, 50)
    assert media.probe(long, ReadOptions(max_pixels=0.0031)).frames == 50
    monstrous = animation(tmp_path / "b.gif", SMALL, 120)
    with pytest.raises(MediaError, match=r"120 frames of 64 x 48.*Convert it to a video"):
        media.probe(monstrous, ReadOptions(max_pixels=0.0031))


def test_a_frame_that_enlarges_an_animation(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.gif", SMALL, 2)
    content = bytearray(path.read_bytes())
    at = content.rindex(b"\x2c\0\0\0\0") + 5  # width and height of the last frame
    content[at : at + 4] = (640).to_bytes(2, "little") + (480).to_bytes(2, "little")
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"frames of 640 x 480 pixels"):
        media.probe(path, LIMIT)


def test_a_video_that_changes_to_giant_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.h264"
    small, large = h264(tmp_path / "b.h264", SMALL), h264(tmp_path / "c.h264", LARGE)
    path.write_bytes(small.read_bytes() + large.read_bytes())
    with (
        media.read(path, LIMIT) as frames,
        pytest.raises(MediaError, match=r"frames of 640 x 480 pixels; the limit is 0.1"),
    ):
        list(frames)
    with media.read(path) as frames:
        assert len(list(frames)) == 6


def test_every_image_of_a_folder(tmp_path: Path) -> None:
    Image.new("RGB", SMALL).save(tmp_path / "1.png")
    Image.new("RGB", LARGE).save(tmp_path / "2.png")
    with (
        media.read(tmp_path, LIMIT) as frames,
        pytest.raises(MediaError, match=r"2.png has 307200 pixels"),
    ):
        list(frames)


def test_pages_of_other_sizes_have_the_size_of_the_first(tmp_path: Path) -> None:
    first, second = Image.new("RGB", SMALL), Image.new("RGB", (32, 32))
    first.save(tmp_path / "a.tiff", save_all=True, append_images=[second])
    with media.read(tmp_path / "a.tiff") as frames:
        assert [frame.size for frame in frames] == [SMALL, SMALL]


def test_the_limit_of_pillow_stays_that_of_the_program(tmp_path: Path) -> None:
    usual = Image.MAX_IMAGE_PIXELS
    Image.new("RGB", LARGE).save(tmp_path / "a.png")
    media.probe(tmp_path / "a.png", ReadOptions(max_pixels=1000))
    assert usual == Image.MAX_IMAGE_PIXELS


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    segment = h264(tmp_path / "a.ts", SMALL, "mpegts")
    playlist = tmp_path / "a.m3u8"
    playlist.write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{segment}\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(MediaError, match="is a text file"):
        media.probe(playlist)


def test_the_flag_and_its_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", LARGE).save(tmp_path / "a.png")
    out = tmp_path / "out.jsonl"
    argv = ["detect", str(tmp_path / "a.png"), "-o", str(out), "--max-pixels"]
    assert run([*argv, "0.1"]) == 3
    assert "--max-pixels 1" in " ".join(capsys.readouterr().err.split())
    assert run([*argv, "0"]) == 2
    assert run([*argv, "nan"]) == 2
    assert run([*argv, "1"]) == 4  # read, and without a face
