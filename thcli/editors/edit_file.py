"""The edit file, `*.edit.safetensors`: what was changed of a face, to be changed so in other videos; safe to load from strangers.

It holds attributes and their strengths, or texts and the step in identity space that was learnt from them. A step means something to
the one editor that it was learnt with: its name and a fingerprint of its weights stand beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from thcli import __version__
from thcli.core.errors import MediaError, OutputError, UsageError
from thcli.core.types import Array32
from thcli.media.failures import unwritable

SUFFIX = ".edit.safetensors"
FORMAT, VERSION = "thcli-edit", "1"
HINT = "Make it again: thcli edit VIDEO --attr NAME (or --text …) --save-edit NAME" + SUFFIX
MAX_BYTES = 1 << 20
MAX_LENGTH = 4096  # numbers of a step
MAX_VALUE = 1e3
MAX_ATTRIBUTES = 40
MAX_TEXT = 1000


@dataclass(frozen=True, slots=True)
class EditFile:
    """One edit. attributes: name -> strength, of the catalogue, done by `engine` ("auto": by who is best at each).

    step: (I,) what is added to a clip's identity, `scale` times, or None; learnt with `editor`, whose weights have that fingerprint, from
    `source` to `target` by the model `text_model`.
    """

    attributes: Mapping[str, float] = field(default_factory=dict)
    engine: str = "auto"
    step: Array32 | None = None
    scale: float = 1.0
    editor: str = ""
    fingerprint: str = ""
    source: str = ""
    target: str = ""
    text_model: str = ""

    def check(self, editor: str, fingerprint: str, path: Path) -> None:
        """Raises UsageError when the step was learnt with another editor, or with other weights of it."""
        if self.step is None:
            return
        if self.editor != editor:
            raise UsageError(
                f"{path} was learnt with the editor {self.editor}, not with {editor}.",
                f"Give --engine {self.editor}, or learn it anew with --text {self.target!r}.",
            )
        if self.fingerprint != fingerprint:
            raise UsageError(
                f"{path} was learnt with other weights of {editor}.",
                f"Learn it anew with --text {self.target!r}.",
            )


def save(path: Path, edit: EditFile, *, overwrite: bool = False) -> None:
    """Writes the file, whole or not at all. Raises OutputError."""
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already.", "Give --overwrite, or another name.")
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(packed(edit))
        partial.replace(path)
    except OSError as exc:
        partial.unlink(missing_ok=True)
        raise unwritable(path, exc) from exc


def packed(edit: EditFile) -> bytes:
    """The file's bytes."""
    words = {
        "format": FORMAT,
        "version": VERSION,
        "made_by": f"thcli {__version__}",
        "engine": edit.engine,
        "editor": edit.editor,
        "fingerprint": edit.fingerprint,
        "source": edit.source,
        "target": edit.target,
        "text_model": edit.text_model,
        "scale": repr(float(edit.scale)),
        "attributes": json.dumps(dict(edit.attributes)),
    }
    step = (
        np.zeros(0, np.float32)
        if edit.step is None
        else np.ascontiguousarray(edit.step, np.float32)
    )
    return save_arrays({"step": step}, words)


def load(path: Path) -> EditFile:
    """Reads an edit file. Raises MediaError, with a sentence on what is wrong, for anything that is not a sound one."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _broken(path, f"it has more than {MAX_BYTES} bytes")
        content = path.read_bytes()
    except OSError as exc:
        raise MediaError(
            f"The edit file {path} cannot be read: {exc.strerror or exc}.", HINT
        ) from exc
    words = _words(path, content)
    try:
        arrays = load_arrays(content)
    except SafetensorError as exc:
        raise _broken(path, "its numbers are cut off or of no known type") from exc
    if words.get("format") != FORMAT:
        raise MediaError(f"{path} is a safetensors file, but not of an edit.", HINT)
    if words.get("version") != VERSION:
        raise MediaError(
            f"{path} has version {words.get('version', '?')[:20]} of the edit format; this program reads {VERSION}.",
            "Update thcli.",
        )
    texts = {
        name: words.get(name, "")
        for name in ("engine", "editor", "fingerprint", "source", "target", "text_model")
    }
    if any(len(text) > MAX_TEXT for text in texts.values()):
        raise _broken(path, "one of its texts is too long")
    attributes, scale = _attributes(path, words), _number(path, words.get("scale", ""))
    step = _step(path, arrays)
    if step is None and not attributes:
        raise _broken(path, "it changes nothing")
    if step is not None and not (texts["editor"] and texts["fingerprint"]):
        raise _broken(path, "it does not say which editor its step is of")
    return EditFile(attributes, step=step, scale=scale, **texts)


def _broken(path: Path, why: str) -> MediaError:
    return MediaError(f"{path} is not a sound edit file: {why}.", HINT)


def _words(path: Path, content: bytes) -> dict[str, str]:
    """The texts of a safetensors header."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise _broken(path, "its header is missing, cut off or too large")
    try:
        header = json.loads(content[8 : 8 + length].decode("utf-8"))
    except (ValueError, RecursionError) as exc:
        raise _broken(path, "its header is not JSON") from exc
    words = header.get("__metadata__") if isinstance(header, dict) else None
    if words is None:
        return {}
    if not isinstance(words, dict) or not all(isinstance(value, str) for value in words.values()):
        raise _broken(path, "its metadata are not texts")
    return words


def _number(path: Path, word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not abs(number) <= MAX_VALUE:
        raise _broken(path, "its strength is no sensible number")
    return number


def _attributes(path: Path, words: Mapping[str, str]) -> dict[str, float]:
    try:
        found = json.loads(words.get("attributes", "{}"))
    except (ValueError, RecursionError) as exc:
        raise _broken(path, "its attributes are not JSON") from exc
    sound = isinstance(found, dict) and len(found) <= MAX_ATTRIBUTES
    if not (
        sound and all(isinstance(v, int | float) and abs(v) <= MAX_VALUE for v in found.values())
    ):
        raise _broken(path, "its attributes are not names with strengths")
    return {name: float(strength) for name, strength in found.items()}


def _step(path: Path, arrays: Mapping[str, Any]) -> Array32 | None:
    step = arrays["step"] if set(arrays) == {"step"} else np.zeros((0, 0))
    if step.ndim != 1 or step.dtype != np.float32 or len(step) > MAX_LENGTH:
        raise _broken(path, "it has other numbers than one step")
    if not (np.isfinite(step).all() and np.abs(step).max(initial=0) <= MAX_VALUE):
        raise _broken(path, "its step is not made of sensible numbers")
    return np.asarray(step, np.float32) if len(step) else None
