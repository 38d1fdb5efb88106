"""Comments in GIF and WebP animations, for which FFmpeg's muxers write no metadata."""

from __future__ import annotations

import shutil
import struct
from html import escape
from pathlib import Path

from PIL import Image as Pillow

_BLOCK_BYTES = 1 << 20
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/">'
    "<dc:description>{}</dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
)
_HAS_XMP, _HAS_ALPHA = 0x04, 0x10  # flags of the VP8X chunk


def write_comment(file: Path, comment: str) -> None:
    """Write a comment into a GIF (comment extension) or animated WebP (XMP chunk), in place.

    Other files are not changed. Raises OSError.
    """
    with file.open("rb") as whole:
        head = whole.read(21)
    if head.startswith(b"GIF8"):
        _into_gif(file, comment.encode())
    elif head[8:12] == b"WEBP":
        if head[12:16] != b"VP8X":
            _extend_webp(file)
        with file.open("rb") as whole:
            flags = whole.read(21)[20]
        _into_webp(file, flags, _XMP.format(escape(comment, quote=False)).encode())


def _into_gif(file: Path, text: bytes) -> None:
    """Insert a comment after the screen descriptor and its colour table (GIF89a 18, 19 and 24)."""
    blocks = b"".join(
        bytes([len(part)]) + part for part in (text[i : i + 255] for i in range(0, len(text), 255))
    )
    copy = file.with_name(f"{file.name}.stamped")
    try:
        with file.open("rb") as whole, copy.open("wb") as out:
            head = whole.read(13)
            table = 3 << ((head[10] & 7) + 1) if head[10] & 0x80 else 0
            header = head.replace(b"GIF87a", b"GIF89a") + whole.read(table)
            out.write(header + b"\x21\xfe" + blocks + b"\0")
            shutil.copyfileobj(whole, out, _BLOCK_BYTES)
        copy.replace(file)
    finally:
        copy.unlink(missing_ok=True)


def _extend_webp(file: Path) -> None:
    """Turn a WebP of a single frame, which FFmpeg writes without extensions, into one with them."""
    with Pillow.open(file) as image:
        flags = _HAS_ALPHA if image.mode == "RGBA" else 0
        width, height = (side - 1 for side in image.size)
    sides = width.to_bytes(3, "little") + height.to_bytes(3, "little")
    data = file.read_bytes()
    extended = b"WEBPVP8X" + struct.pack("<II", 10, flags) + sides + data[12:]
    file.write_bytes(b"RIFF" + struct.pack("<I", len(extended)) + extended)


def _into_webp(file: Path, flags: int, xmp: bytes) -> None:
    """Append an XMP chunk and set its flag (WebP container specification, extended format)."""
    with file.open("r+b") as whole:
        whole.seek(0, 2)
        whole.write(b"XMP " + struct.pack("<I", len(xmp)) + xmp + b"\0" * (len(xmp) % 2))
        size = whole.tell()
        whole.seek(4)
        whole.write(struct.pack("<I", size - 8))
        whole.seek(20)
        whole.write(bytes([flags | _HAS_XMP]))
