"""Types of option values that Python code gives; flags and configuration files are converted."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from thcli.core.errors import UsageError
from thcli.core.options.base import flag_names

_KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "True or False"),
    int: ((Integral,), "a whole number"),
    float: ((Real,), "a number"),
    str: ((str,), "text"),
}


def require_given_types_in(package: str) -> None:
    """Make all option classes of a package's imported modules check the types of values."""
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{package}."):
            for value in list(vars(module).values()):
                if isinstance(value, type) and is_dataclass(value) and value.__module__ == name:
                    _require_given_types(value)


def _require_given_types(options: type[Any]) -> None:
    """Make an option class refuse values of another type with a UsageError."""
    original: Callable[..., None] = options.__init__

    @functools.cache
    def hints() -> dict[str, Any]:
        return get_type_hints(options)

    @functools.wraps(original)
    def checked(self: Any, *args: Any, **given: Any) -> None:
        items = [item for item in fields(options) if item.init]
        named = {**dict(zip((item.name for item in items), args, strict=False)), **given}
        for item in items:
            if item.name not in named or _fits(named[item.name], hints()[item.name]):
                continue
            if not (item.metadata.get("path") and isinstance(named[item.name], PathLike)):
                kind = _described(hints()[item.name])
                raise UsageError(
                    f"{flag_names(item)[0].partition('/')[0]} must be {kind}, "
                    f"not {named[item.name]!r}.",
                    f"Give {options.__name__}({item.name}=...) a value of this type.",
                )
        original(self, *args, **given)

    options.__init__ = checked


def _fits(value: object, hint: Any) -> bool:
    if get_origin(hint) in (Union, types.UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if hint is None or hint is type(None):
        return value is None
    if hint in _KINDS:
        is_switch = isinstance(value, bool)
        return isinstance(value, _KINDS[hint][0]) and (hint is bool or not is_switch)
    if get_origin(hint) is Literal:
        return isinstance(value, str)  # the class names the values itself
    if get_origin(hint) is list:
        (element,) = get_args(hint)
        return isinstance(value, (list, tuple)) and all(_fits(item, element) for item in value)
    if is_dataclass(hint) and isinstance(hint, type):
        return isinstance(value, hint)
    if hint is Path:
        return isinstance(value, str | PathLike)
    raise TypeError(f"Values of options are not checked against {hint} yet: add a rule.")


def _described(hint: Any) -> str:
    parts = [part for part in get_args(hint) if part is not type(None)]
    if get_origin(hint) in (Union, types.UnionType):
        words = " or ".join(_described(part) for part in parts)
        return words if len(parts) == len(get_args(hint)) else f"{words}, or None"
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    if get_origin(hint) is list:
        return f"a list of {_described(get_args(hint)[0])}"
    if is_dataclass(hint) and isinstance(hint, type):
        return f"of the class {hint.__name__}"
    return _KINDS[hint][1] if hint in _KINDS else "a path"
