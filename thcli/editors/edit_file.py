"""Edit file, `*.edit.safetensors`: a stored edit that can be applied to other videos.

It holds attributes with strengths, or texts and the identity step learnt from them. A step is valid
only for the editor that it was learnt with: the editor's name and a fingerprint of its weights are
stored with it. Files from untrusted sources are safe to load.
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
from thcli.core.errors import MediaError, UsageError
from thcli.core.types import Array32
from thcli.media.atomic_file import replace_atomically

SUFFIX = ".edit.safetensors"
FORMAT, VERSION = "thcli-edit", "1"
HINT = "Create it again: thcli edit VIDEO --attr NAME (or --text …) --save-edit NAME" + SUFFIX
MAX_BYTES = 1 << 20
MAX_LENGTH = 4096  # of a step
MAX_VALUE = 1e3
MAX_ATTRIBUTES = 40
MAX_TEXT = 1000


@dataclass(frozen=True, slots=True)
class EditFile:
    """One stored edit.

    attributes: attribute name of the catalogue -> strength, applied by `engine`.
    engine: backend, or "auto" for the best one of each attribute.
    step: (I,) float32 offset that is added to a clip's identity, times `scale`; or None.
    editor: backend that the step was learnt with; its weights have `fingerprint`.
    source, target: the texts between which the step leads, by the model `text_model`.
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
        """Raise UsageError when the step was learnt with another editor or with other weights.

        Args:
            editor: name of the backend that is to apply the step.
            fingerprint: of its weights.
            path: the edit file, for the message.
        """
        if self.step is None:
            return
        if self.editor != editor:
            raise UsageError(
                f"{path} was learnt with the editor {self.editor}, not with {editor}.",
                f"Give --engine {self.editor}, or learn it again with --text {self.target!r}.",
            )
        if self.fingerprint != fingerprint:
            raise UsageError(
                f"{path} was learnt with other weights of {editor}.",
                f"Learn it again with --text {self.target!r}.",
            )


def save(path: Path, edit: EditFile, *, overwrite: bool = False) -> None:
    """Write an edit file atomically. Raises OutputError when it exists or cannot be written."""
    with replace_atomically(path, overwrite=overwrite) as partial:
        partial.write_bytes(serialize(edit))


def serialize(edit: EditFile) -> bytes:
    """Return the bytes of the file."""
    metadata = {
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
    step = np.zeros(0) if edit.step is None else edit.step
    return save_arrays({"step": np.ascontiguousarray(step, np.float32)}, metadata)


def load(path: Path) -> EditFile:
    """Read an edit file. Raises MediaError that names the defect of an invalid file."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _broken(path, f"it has more than {MAX_BYTES} bytes")
        content = path.read_bytes()
    except OSError as exc:
        raise MediaError(
            f"The edit file {path} cannot be read: {exc.strerror or exc}.", HINT
        ) from exc
    metadata = _metadata(path, content)
    try:
        arrays = load_arrays(content)
    except (SafetensorError, KeyError) as exc:  # KeyError: a type that NumPy lacks
        raise _broken(path, "its data are cut off or of an unknown type") from exc
    if metadata.get("format") != FORMAT:
        raise MediaError(f"{path} is a safetensors file, but not of an edit.", HINT)
    if metadata.get("version") != VERSION:
        version = metadata.get("version", "?")[:20]
        raise MediaError(
            f"{path} has version {version} of the edit format; this program reads {VERSION}.",
            "Update thcli.",
        )
    texts = {
        name: metadata.get(name, "")
        for name in ("engine", "editor", "fingerprint", "source", "target", "text_model")
    }
    if any(len(text) > MAX_TEXT for text in texts.values()):
        raise _broken(path, "one of its texts is too long")
    attributes, scale = _attributes(path, metadata), _number(path, metadata.get("scale", ""))
    step = _step(path, arrays)
    if step is None and not attributes:
        raise _broken(path, "it changes nothing")
    if step is not None and not (texts["editor"] and texts["fingerprint"]):
        raise _broken(path, "it does not name the editor of its step")
    return EditFile(attributes, step=step, scale=scale, **texts)


def _broken(path: Path, why: str) -> MediaError:
    return MediaError(f"{path} is not a valid edit file: {why}.", HINT)


def _metadata(path: Path, content: bytes) -> dict[str, str]:
    """Return the metadata strings of a safetensors header."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise _broken(path, "its header is missing, cut off or too large")
    try:
        header = json.loads(content[8 : 8 + length].decode("utf-8"))
    except (ValueError, RecursionError) as exc:
        raise _broken(path, "its header is not JSON") from exc
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if metadata is None:
        return {}
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        raise _broken(path, "its metadata are not strings")
    return metadata


def _number(path: Path, word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not abs(number) <= MAX_VALUE:
        raise _broken(path, f"its strength is not a number within ±{MAX_VALUE:g}")
    return number


def _attributes(path: Path, metadata: Mapping[str, str]) -> dict[str, float]:
    try:
        found = json.loads(metadata.get("attributes", "{}"))
    except (ValueError, RecursionError) as exc:
        raise _broken(path, "its attributes are not JSON") from exc
    values = found.values() if isinstance(found, dict) and len(found) <= MAX_ATTRIBUTES else (None,)
    if not all(isinstance(v, int | float) and abs(v) <= MAX_VALUE for v in values):
        raise _broken(path, "its attributes are not names with strengths")
    return {name: float(strength) for name, strength in found.items()}


def _step(path: Path, arrays: Mapping[str, Any]) -> Array32 | None:
    step = arrays["step"] if set(arrays) == {"step"} else np.zeros((0, 0))
    if step.ndim != 1 or step.dtype != np.float32 or len(step) > MAX_LENGTH:
        raise _broken(path, f"it does not hold one float32 step of at most {MAX_LENGTH} numbers")
    if not (np.isfinite(step).all() and np.abs(step).max(initial=0) <= MAX_VALUE):
        raise _broken(path, f"its step has values that are not within ±{MAX_VALUE:g}")
    return np.asarray(step, np.float32) if len(step) else None
