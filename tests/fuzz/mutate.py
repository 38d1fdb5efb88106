"""Seeded mutations of bytes, and of the JSON header of safetensors and the text of TOML."""

from __future__ import annotations

import json
import random
import re
import zlib
from collections.abc import Callable
from typing import Any

Mutator = Callable[[bytearray, random.Random, bytes], bytearray]

INTEGERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40)
MAGICS = (
    b"%!PS-Adobe-3.0\n",
    b"%PDF-1.7\n",
    b"GIF89a",
    b"PK\x03\x04",
    b"<html>",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF\0\0\0\0WEBP",
    b"\x1a\x45\xdf\xa3",
    b"#EXTM3U\n",
    b"ffconcat version 1.0\nfile /etc/passwd\n",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1 << 62,
    -(1 << 70),
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x" * 3000,
    "../../x",
    "\x1b[31m",
    "\u202e",
    [],
    {},
    [1, 2],
    [-1, 5],
    [1 << 40, 1 << 40],
    "F64",
    "1/0",
    "0/1",
    "nan",
)


def mutate(content: bytes, chance: random.Random, other: bytes) -> bytes:
    """Return `content` after one to four mutations. other: content of another seed to splice."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4))):
        data = chance.choice(_mutators(content))(data, chance, other)
    return bytes(data)


def repair_stream(content: bytes) -> bytes:
    """Return a motion stream with true checksums of its header and packets."""
    data = bytearray(content)
    data[27:31] = zlib.crc32(data[5:27]).to_bytes(4, "big")
    place = 31
    while place < len(data):
        first, width = data[place], {255: 2, 254: 2, 253: 4, 252: 2}.get(data[place], 0)
        size = int.from_bytes(data[place + 1 : place + 1 + width], "big") if width else first
        begin = place + 2 + width
        if begin > len(data):
            break
        data[begin - 1] = zlib.crc32(data[begin : begin + size]) & 255
        place = begin + size
    return bytes(data)


def _mutators(content: bytes) -> list[Mutator]:
    general = [_flip, _flip, _overwrite, _integer, _integer, _truncate, _remove, _repeat, _splice]
    if content[8:9] == b"{":
        return [*general, *[_header] * 8]
    if re.match(rb"[\[a-z]", content) and b"=" in content:
        return [_toml, _toml, _flip, _splice, _truncate]
    return [*general, _magic]


def _place(data: bytearray, chance: random.Random) -> int:
    """Return a position; half of them are in the first 256 bytes, where headers are."""
    if not data:
        return 0
    return chance.randrange(min(len(data), 256) if chance.random() < 0.5 else len(data))


def _flip(data: bytearray, chance: random.Random, other: bytes) -> bytearray:
    for _ in range(chance.choice((1, 3, 16))):
        if data:
            data[_place(data, chance)] ^= 1 << chance.randrange(8)
    return data


def _overwrite(data: bytearray, chance: random.Random, other: bytes) -> bytearray:
    start, length = _place(data, chance), chance.choice((1, 4, 64))
    data[start : start + length] = chance.randbytes(len(data[start : start + length]))
    return data


def _integer(data: bytearray, chance: random.Random, other: bytes) -> bytearray:
    """Write an extreme length or count."""
    start, size = _place(data, chance), chance.choice((1, 2, 4, 8))
    value = chance.choice(INTEGERS) & ((1 << 8 * size) - 1)
    data[start : start + size] = value.to_bytes(size, chance.choice(("big", "little")))
    return data


def _truncate(data: bytearray, chance: random.Random, other: bytes) -> bytearray:
    return data[: _place(data, chance)]


def _remove(data: bytearray, chance: random.Random, other: bytes) -> bytearray:
    start = _place(data, chance)
    del data[start : start + chance.choice((1, 8, 256))]
    return data


def _repeat(data: bytearray, chance: random.Random, other: bytes) -> bytearray:
    start = _place(data, chance)
    data[start:start] = data[start : start + chance.choice((4, 64, 1024))] * chance.choice((1, 8))
    return data


def _splice(data: bytearray, chance: random.Random, other: bytes) -> bytearray:
    start = _place(data, chance)
    return data[:start] + other[chance.randrange(len(other) or 1) :]


def _magic(data: bytearray, chance: random.Random, other: bytes) -> bytearray:
    magic = chance.choice(MAGICS)
    data[: len(magic)] = magic
    return data


def _header(data: bytearray, chance: random.Random, other: bytes) -> bytearray:
    """Change one value, key or entry of a safetensors header; the length is kept true."""
    length = int.from_bytes(data[:8], "little")
    try:
        table = json.loads(bytes(data[8 : 8 + length]))
    except ValueError:
        return _flip(data, chance, other)
    node, parents = table, []
    while isinstance(node, dict) and node and chance.random() < 0.8:
        parents.append((node, chance.choice(sorted(node))))
        node = parents[-1][0][parents[-1][1]]
    if parents:
        owner, key = parents[-1]
        change = chance.randrange(4)
        if change == 0:
            del owner[key]
        elif change == 1:
            owner[str(chance.choice(VALUES))[:50]] = owner.pop(key)
        else:
            owner[key] = chance.choice(VALUES)
    text = json.dumps(table).encode()
    return bytearray(len(text).to_bytes(8, "little") + text + data[8 + length :])


def _toml(data: bytearray, chance: random.Random, other: bytes) -> bytearray:
    lines = bytes(data).decode("utf-8", "replace").splitlines() or [""]
    number = chance.randrange(len(lines))
    key = lines[number].partition("=")[0].strip() or "seed"
    value = chance.choice(VALUES)
    text = json.dumps(value) if not isinstance(value, float) else str(value)
    lines[number] = chance.choice((f"{key} = {text}", f"[{key}.{key}]", f"{text} = 1", "=" * 9))
    return bytearray("\n".join(lines).encode("utf-8", "replace"))
