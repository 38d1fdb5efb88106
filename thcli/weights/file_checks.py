"""What a downloaded file really is: hashes, and the impostors that servers send in place of a file."""

from __future__ import annotations

import hashlib
import html
import re
from pathlib import Path


def sha256_of(path: Path) -> str:
    """The file's SHA-256 as 64 hex digits; reads in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def impostor(path: Path) -> str:
    """Names what stands in place of weights: a Git-LFS pointer, an HTML page, an XML error; "" when nothing is recognised."""
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
        title = re.search(rb"<title[^>]*>(.*?)</title>", head, re.S | re.I)
        words = (
            html.unescape(" ".join(title[1].decode("utf-8", "replace").split())) if title else ""
        )
        return (
            f"an HTML page ({words!r}: a login, a quota or an error)" if words else "an HTML page"
        )
    if start.startswith(b"<?xml") and re.search(
        rb"<error|accessdenied|nosuchkey", head[:4096], re.I
    ):
        return "an XML error message"
    return ""


def is_safetensors(path: Path) -> bool:
    """Whether the file begins as safetensors do, whatever its name: the length of a header, then the header's brace."""
    with path.open("rb") as stream:
        head = stream.read(9)
    return (
        len(head) == 9
        and head[8:] == b"{"
        and int.from_bytes(head[:8], "little") < path.stat().st_size
    )
