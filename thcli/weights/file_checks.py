"""Checks of a file's content: its hash, its format, and the pages that servers send instead."""

from __future__ import annotations

import hashlib
import html
import re
from pathlib import Path
from typing import BinaryIO

from thcli.core.errors import WeightsError

# ModelProto of onnx.proto3: the numbers of its fields, and that of the field `graph`.
_ONNX_FIELDS = (1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26)
_ONNX_GRAPH = 7


def sha256_of(path: Path) -> str:
    """Return the file's SHA-256 as 64 hex digits; the file is read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def describe_placeholder(path: Path) -> str:
    """Return a description of a file that replaces weights, "" for a file that may be weights.

    Recognised are empty files, Git-LFS and git-annex pointers, HTML pages and XML errors.
    """
    with path.open("rb") as stream:
        head = stream.read(65536)
    if not head:
        return "an empty file"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"version https://git-lfs.github.com/spec/"):
        return "a Git-LFS pointer (a few lines of text that stand for the file)"
    if len(head) < 1024 and b"/annex/objects/" in head:
        return "a git-annex pointer (a line of text that stands for the file)"
    start = text[:256].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        title = _html_title(head)
        return (
            f"an HTML page ({title!r}: a login, a quota or an error)" if title else "an HTML page"
        )
    if start.startswith(b"<?xml") and re.search(
        rb"<error|accessdenied|nosuchkey", head[:4096], re.I
    ):
        return "an XML error message"
    return ""


def _html_title(page: bytes) -> str:
    title = re.search(rb"<title[^>]*>(.*?)</title>", page, re.S | re.I)
    return html.unescape(" ".join(title[1].decode("utf-8", "replace").split())) if title else ""


def is_safetensors(path: Path) -> bool:
    """Return True if the file begins as safetensors do, whatever its name.

    Such a file begins with the length of its JSON header (8 bytes) and the header's brace.
    """
    with path.open("rb") as stream:
        head = stream.read(9)
    return (
        len(head) == 9
        and head[8:] == b"{"
        and int.from_bytes(head[:8], "little") < path.stat().st_size
    )


def is_tflite(path: Path) -> bool:
    """Return True if the file has the identifier of a TensorFlow Lite model."""
    with path.open("rb") as stream:
        return stream.read(8)[4:] == b"TFL3"


def is_onnx(path: Path) -> bool:
    """Return True if the file is an ONNX model, judged by the fields of its outermost message.

    Source: onnx, onnx/onnx.proto3, ModelProto; the wire format of Protocol Buffers.
    """
    size, graph = path.stat().st_size, False
    with path.open("rb") as stream:
        while stream.tell() < size:
            field, kind = divmod(_varint(stream), 8)
            if field not in _ONNX_FIELDS or kind not in (0, 2):
                return False
            length = _varint(stream)
            if kind == 2:
                if length < 0 or stream.tell() + length > size:
                    return False
                stream.seek(length, 1)
                graph |= field == _ONNX_GRAPH
            elif length < 0:
                return False
    return graph


def _varint(stream: BinaryIO) -> int:
    """Return a varint of Protocol Buffers, -1 where the file ends or none is there."""
    value = 0
    for shift in range(0, 70, 7):
        byte = stream.read(1)
        if not byte:
            return -1
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return -1


def require_format(path: Path, form: str, what: str) -> None:
    """Raise WeightsError unless the file has the format that is expected of it.

    Args:
        path: file to check.
        form: "tflite", "onnx" or "safetensors". Other formats are checked where they are read.
        what: name of the file in the message.
    """
    known = {"tflite": is_tflite, "onnx": is_onnx, "safetensors": is_safetensors}
    if form in known and not known[form](path):
        raise WeightsError(
            f"{what} is not a file of the format {form}.",
            "Is it the right file? See 'thcli weights list'.",
        )
