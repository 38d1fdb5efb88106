"""Messages for invalid inputs, playlists and addresses."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import tests.media.clips as clips
from thcli import media
from thcli.core.errors import MediaError


def write_invalid_inputs(folder: Path) -> dict[str, str]:
    """Write invalid files; return name -> words of the error message."""
    clips.write_clip(folder / "good.mp4", clips.ClipSpec(count=30))
    clips.write_clip(folder / "good.mkv", clips.ClipSpec(count=30))
    whole = (folder / "good.mp4").read_bytes()
    (folder / "text.mp4").write_text("this is not a video\n" * 20)
    (folder / "page.mp4").write_text("<!DOCTYPE html><html><body>404</body></html>")
    (folder / "text.png").write_text("this is not an image\n")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    (folder / "zeros.mp4").write_bytes(bytes(5000))
    (folder / "noise.jpg").write_bytes(bytes(range(1, 256)) * 9)
    (folder / "cut.mkv").write_bytes((folder / "good.mkv").read_bytes()[:900])
    (folder / "lfs.mp4").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    )
    Image.fromarray(clips.draw_patches()).save(folder / "good.png")
    (folder / "cut.png").write_bytes((folder / "good.png").read_bytes()[:100])
    clips.write_clip(folder / "fast.mp4")
    quick = (folder / "fast.mp4").read_bytes()
    at = quick.index(b"moov") - 4  # the index in front, and cut off within
    (folder / "begun.mp4").write_bytes(quick[:at][:32] + quick[at : at + 400])
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(300))
    (folder / "nothing").mkdir()
    return {
        "missing.mp4": "does not exist",
        "text.mp4": "is a text file",
        "page.mp4": "is a web page",
        "text.png": "is a text file",
        "empty.mp4": "is empty",
        "cut.mp4": "is truncated: its index",
        "begun.mp4": "is truncated: its index",
        "phone.heic": "is a HEIC or HEIF picture",
        "zeros.mp4": "cannot be read",
        "noise.jpg": "cannot be read",
        "cut.mkv": "cannot be read",
        "lfs.mp4": "Git-LFS pointer",
        "cut.png": "cannot be read",
        "nothing": "folder without images",
    }


def test_every_invalid_input_gives_one_sentence(tmp_path: Path) -> None:
    for name, words in write_invalid_inputs(tmp_path).items():
        with pytest.raises(MediaError) as caught:
            list(media.read(tmp_path / name))
        assert words in caught.value.message, name
        assert (
            caught.value.message.endswith(".")
            and "\n" not in str(caught.value)
            and caught.value.hint
        ), name
        assert name in caught.value.message


def test_playlists_are_not_followed(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "good.ts")
    (tmp_path / "list.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ngood.ts\n#EXT-X-ENDLIST\n"
    )
    (tmp_path / "list.txt").write_text("ffconcat version 1.0\nfile good.ts\n")
    for name in ("list.m3u8", "list.txt"):
        with pytest.raises(MediaError):
            media.probe(tmp_path / name)


@pytest.mark.parametrize("address", ["https://example.org/a.mp4", "rtsp://camera/1"])
def test_an_address_is_named_as_one(address: str) -> None:
    with pytest.raises(MediaError, match="is an address") as caught:
        media.probe(address)
    assert "Download it first" in caught.value.hint
