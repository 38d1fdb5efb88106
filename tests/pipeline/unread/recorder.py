"""Options that record which of their fields are read, and changed options."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

HERE = Path(__file__).parent
PICTURE = HERE.parents[2] / "docs" / "images" / "edit.jpg"


def recorded(options: Any, seen: set[str], prefix: str = "") -> Any:
    """Return a copy of an option object that adds the path of each field that is read to `seen`."""
    kind: Any = type(options)
    names = {item.name for item in fields(options)}

    def read(self: Any, name: str) -> Any:
        if name in names:
            seen.add(f"{prefix}{name}")
        return kind.__getattribute__(self, name)

    copy: Any = object.__new__(
        type(f"Recorded{kind.__name__}", (kind,), {"__getattribute__": read})
    )
    for item in fields(options):
        value = getattr(options, item.name)
        if is_dataclass(value):
            value = recorded(value, seen, f"{prefix}{item.name}.")
        object.__setattr__(copy, item.name, value)
    return copy


def changed(options: Any, path: str) -> Any:
    """Return options whose option at `path` differs from its default."""
    name, _, rest = path.partition(".")
    value = getattr(options, name)
    if rest:
        return replace(options, **{name: changed(value, rest)})
    return replace(options, **{name: another(options, name)})


def another(options: Any, name: str) -> Any:
    """Return an allowed value of an option that is not its default."""
    hint, value = get_type_hints(type(options))[name], getattr(options, name)
    if isinstance(value, bool):
        return not value
    choices = [
        choice
        for kind in (hint, *get_args(hint))
        if get_origin(kind) is Literal
        for choice in get_args(kind)
    ]
    if choices:
        return next(choice for choice in reversed(choices) if choice != value)
    words = {"pose": "still", "blink": "none", "text_model": "clip-b32", "engine": "fomm"}
    words |= {"gaze": "9,0", "emotion": "happy", "pose_code": "10,0,0"}
    others: dict[str, Any] = {"keys": HERE / "keys.txt", "pose_file": HERE / "poses.csv"}
    others |= dict.fromkeys(("identity", "motion", "background"), PICTURE)
    if name in ("expression", "also") and value is None:
        return ["happy"]
    if name in others and Path in get_args(hint):
        return others[name]
    if name in words and isinstance(value, str):
        return words[name]
    if isinstance(value, int):
        return value + 1
    return 3 if name in ("steps", "motion_frames") else 0.5
