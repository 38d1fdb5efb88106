"""Keys of attributes with a colour or a shape: "hair#8a2be2", "eyeglasses:round#2b4fc4"."""

from __future__ import annotations

from collections.abc import Mapping
from string import hexdigits
from types import MappingProxyType

_MARK, _SHAPE_MARK = "#", ":"

COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "amber": "b5722e",
        "auburn": "7a3218",
        "black": "17130f",
        "blond": "d0ab6d",
        "blonde": "d0ab6d",
        "blue": "2b4fc4",
        "brown": "5f3d22",
        "burgundy": "6d1a2c",
        "chestnut": "6b3b21",
        "copper": "a8521f",
        "ginger": "b0561f",
        "gold": "c99a3c",
        "golden": "cf9a3a",
        "gray": "9c9a97",
        "green": "2f8f4a",
        "grey": "9c9a97",
        "lilac": "b79bd6",
        "magenta": "c2268f",
        "mint": "7fd8b4",
        "navy": "1f2f5f",
        "orange": "d9701c",
        "pink": "e275a8",
        "platinum": "e0d6c2",
        "purple": "7a2fb8",
        "red": "a8391c",
        "rose": "c65a72",
        "silver": "b8b9bd",
        "teal": "1f8c8c",
        "turquoise": "2fb3b0",
        "violet": "8a2be2",
        "white": "dcdad5",
        "yellow": "d8c02a",
    }
)
"""Name of a colour of hair, lips, beards and frames -> its middle tone, RRGGBB."""


def parse_colour(word: str) -> str:
    """Return a colour name, #RRGGBB or #RGB as six hexadecimal digits, "" for any other word."""
    plain = word.strip().lower().replace("_", " ").replace("-", " ")
    if plain in COLOURS:
        return COLOURS[plain]
    digits = plain.removeprefix(_MARK)
    if not plain.startswith(_MARK) or len(digits) not in (3, 6) or set(digits) - set(hexdigits):
        return ""
    return digits if len(digits) == 6 else "".join(digit * 2 for digit in digits)


def colour_word(digits: str) -> str:
    """Return the first name of a colour, its six hexadecimal digits where it has none."""
    return next((name for name, own in COLOURS.items() if own == digits), digits)


def levels_of(digits: str) -> tuple[int, int, int]:
    """Return the RGB levels 0..255 of six hexadecimal digits."""
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def with_colour(name: str, digits: str) -> str:
    """Return the key of an attribute with a colour: "hair#8a2be2"."""
    return f"{name}{_MARK}{digits}"


def split_colour(key: str) -> tuple[str, str]:
    """Return a key without its colour, and the colour's digits; "" without one."""
    name, _, digits = key.partition(_MARK)
    return name, digits


def with_shape(key: str, shape: str) -> str:
    """Return the key of an attribute, which may have a colour, with a shape."""
    name, digits = split_colour(key)
    shaped = f"{base_name(name)}{_SHAPE_MARK}{shape}"
    return with_colour(shaped, digits) if digits else shaped


def split_shape(name: str) -> tuple[str, str]:
    """Return the attribute of a key without its colour, and the shape; "" without one."""
    name, _, shape = name.partition(_SHAPE_MARK)
    return name, shape


def base_name(key: str) -> str:
    """Return the attribute of a key: "eyeglasses" of "eyeglasses:round#2b4fc4"."""
    return split_shape(split_colour(key)[0])[0]
