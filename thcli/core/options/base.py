"""How an option is declared and checked."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from thcli.core.errors import UsageError


def option(default: Any, about: str, *names: str, hidden: bool = False) -> Any:
    """A field with its help and, where they differ from its own name, its flags. hidden: not a flag."""
    return field(default=default, metadata={"help": about, "names": names, "hidden": hidden})


def require(ok: bool, name: str, allowed: str, value: object) -> None:
    """Raises the UsageError of an option that is out of its range."""
    if not ok:
        raise UsageError(f"{name} must be {allowed}, not {value!r}.")
