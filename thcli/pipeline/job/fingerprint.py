"""Fingerprint of a job: changes when an input or an option that affects the result changes.

A job is resumed only when its fingerprint is the same. What an option means is declared by its
class (`core.options.base.option`), so that no file that an option names can be forgotten.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from thcli import __version__
from thcli.core.errors import MediaError
from thcli.core.options.base import named_paths, path_role
from thcli.core.temp_folders import is_temporary
from thcli.media.reading.image import list_images

_SMALL = 2**20  # bytes up to which a file is hashed at every start


def fingerprint(
    inputs: Iterable[str | Path], options: object, environment: Mapping[str, object]
) -> str:
    """Return the fingerprint of a job as JSON.

    Args:
        inputs: files and folders that are read, apart from those of the options.
        options: an option class.
        environment: what else the result depends on, such as hashes of weights.
    """
    parts = {
        "thcli": __version__,
        "inputs": [identify(path) for path in inputs],
        "options": describe(options),
        **environment,
    }
    return json.dumps(parts, sort_keys=True)


def describe(value: Any, role: str | None = None) -> Any:
    """Return an option or option class as JSON values.

    Outputs and options that do not affect the result are left out; an existing file or folder is
    identified by its content.

    Args:
        value: the option or option class.
        role: of an option that can name a file, see `core.options.option`.
    """
    if is_dataclass(value):
        return {
            item.name: describe(part := getattr(value, item.name), path_role(item, part))
            for item in fields(value)
            if item.metadata.get("path") != "output" and item.metadata.get("affects_result", True)
        }
    if isinstance(value, list | tuple):
        return [describe(item, role) for item in value]
    if role == "numbered input":
        number, _, path = str(value).partition("=")
        return [number, describe(path, "input")]
    if role == "input" and Path(value).exists():
        return identify(value)
    return repr(value)


def named_inputs(options: object) -> Iterator[str]:
    """Yield the files and folders that the options name as inputs; they need not exist."""
    return named_paths(options, "input", "numbered input")


def identify(path: str | Path) -> list[Any]:
    """Return a text that changes with the content of a file, or of the images of a folder.

    Small files, and temporary copies of standard input, are hashed; others are known by name, size,
    time of change and inode.
    """
    path = Path(path)
    if path.is_dir():
        return [path.name, [identify(image) for image in _images(path)]]
    stat = path.stat()
    if stat.st_size <= _SMALL or is_temporary(path):
        with path.open("rb") as file:
            return [path.name, stat.st_size, hashlib.file_digest(file, "sha256").hexdigest()]
    return [path.name, stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _images(folder: Path) -> list[Path]:
    try:
        return list_images(folder)
    except MediaError:  # a folder that no reader takes, such as one with the name of a choice
        return []
