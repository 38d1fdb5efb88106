"""Declaration and validation of options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, field, fields, is_dataclass
from typing import Any, Literal

from thcli.core.errors import UsageError

PathRole = Literal["input", "numbered input", "output"]


def option(
    default: Any,
    about: str,
    *names: str,
    hidden: bool = False,
    path: PathRole | None = None,
    words: str = "",
    affects_result: bool = True,
) -> Any:
    """Declare a dataclass field as an option.

    Args:
        default: value when the flag is not given.
        about: help text, one sentence with unit and range.
        names: flags, where they differ from the field's name.
        hidden: True for a field without a flag.
        path: "input" for a field that can name a file or folder to read, "numbered input" for one
            of texts NUMBER=FILE, "output" for one to write.
        words: regular expression of the values that name no file.
        affects_result: False for a field that changes nothing in the result.
    """
    metadata = {
        "help": about,
        "names": names,
        "hidden": hidden,
        "path": path,
        "words": words,
        "affects_result": affects_result,
    }
    return field(default=default, metadata=metadata)


def path_role(item: Field[Any], value: object) -> PathRole | None:
    """Return the role of an option's value as a path, None where it can name no file.

    Args:
        item: the option.
        value: its value, or one of several.
    """
    role: PathRole | None = item.metadata.get("path")
    is_word = re.fullmatch(item.metadata.get("words") or "", str(value)) is not None
    return None if value is None or is_word else role


def require(ok: bool, name: str, allowed: str, value: object) -> None:
    """Raise a UsageError unless `ok`.

    Args:
        ok: result of the check.
        name: flag or field.
        allowed: end of the sentence "NAME must be …", with the range.
        value: the rejected value.
    """
    if not ok:
        raise UsageError(f"{name} must be {allowed}, not {value!r}.")


def require_seed(seed: int) -> None:
    """Raise a UsageError for a seed that a generator of random numbers does not take."""
    require(0 <= seed < 2**32, "--seed", f"within 0..{2**32 - 1}", seed)


def comma_words(text: str) -> tuple[str, ...]:
    """Return the words of a text that commas separate."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def flag_names(item: Field[Any]) -> tuple[str, ...]:
    """Return the flags of an option field: the declared ones, else one from its name."""
    declared: tuple[str, ...] = item.metadata.get("names") or ()
    return declared or (f"--{item.name.replace('_', '-')}",)


def walk_options(options: Any, prefix: str = "") -> Iterator[tuple[str, Field[Any], Any]]:
    """Yield (dotted name, field, value) of every option of an object and of nested ones."""
    for item in fields(options):
        value = getattr(options, item.name)
        if is_dataclass(value):
            yield from walk_options(value, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", item, value


def named_paths(options: Any, *roles: PathRole) -> Iterator[str]:
    """Yield the files and folders that options name in these roles; they need not exist.

    Words such as "largest" or "keep" name none, even beside a folder of that name.

    Args:
        options: an instance of an option class.
        roles: see `path_role`.
    """
    for _, item, value in walk_options(options):
        for name in value if isinstance(value, list | tuple) else [value]:
            role = path_role(item, name)
            if role in roles:
                yield str(name).partition("=")[2] if role == "numbered input" else str(name)


def changed_options(options: Any) -> Iterator[tuple[str, str]]:
    """Yield (dotted name, flag) of each option that differs from its default.

    A nested option's name begins with its field: "motion.smooth". The flag of a switch is the one
    that was given, such as --no-stitching.

    Args:
        options: an instance of an option class.
    """
    for name, item, value in walk_options(options):
        if value != (None if item.default is MISSING else item.default):
            on, _, off = flag_names(item)[0].partition("/")
            yield name, off if off and value is False else on
