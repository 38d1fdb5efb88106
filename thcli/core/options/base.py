"""Declaration and validation of options."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from thcli.core.errors import UsageError


def option(default: Any, about: str, *names: str, hidden: bool = False) -> Any:
    """Declare a dataclass field as an option.

    Args:
        default: value when the flag is not given.
        about: help text, one sentence with unit and range.
        names: flags, where they differ from the field's name.
        hidden: True for a field without a flag.
    """
    return field(default=default, metadata={"help": about, "names": names, "hidden": hidden})


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
