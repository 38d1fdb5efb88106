"""Measured talking clips on disk; their training data hold what is small in memory.

HuBERT's rows are in FOLDER/.a2m-published/NAME-HASH.npy, the rest in NAME-HASH.npz; the hash is of
the clip's path and size and of its motion file.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thcli.core.errors import MediaError
from thcli.core.types import Array32
from thcli.evaluate.datasets import talking_clips
from thcli.media.atomic_file import replace_atomically

FOLDER = ".a2m-published"
Blinks = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SpokenClip:
    """A measured clip of T frames.

    hubert: (2 T, 1024).  pitch: (2 T,) Hz.  expression: (T, 64).  blink: (T,) 0 or 1.
    mouth: amplitude of the mouth, a number in an array (1,).
    """

    hubert: Array32
    pitch: Array32
    expression: Array32
    blink: Blinks
    mouth: Array32


@dataclass(frozen=True, slots=True)
class StoredClip:
    """A measured clip on disk.

    hubert: file of its rows.  others: what is small, as a clip without rows.
    """

    hubert: Path
    others: SpokenClip

    def __len__(self) -> int:
        return len(self.others.expression)

    def window(self, begin: int, frames: int) -> SpokenClip:
        """Read a window of frames, cut off at the end of the clip.

        Raises:
            MediaError: The file is damaged.
        """
        clip = self.others
        seen, heard = slice(begin, begin + frames), slice(2 * begin, 2 * (begin + frames))
        rows = np.array(read_array(self.hubert)[heard])
        return replace(
            clip,
            hubert=rows,
            pitch=clip.pitch[heard],
            expression=clip.expression[seen],
            blink=clip.blink[seen],
        )


def stored_path(clip: Path, folder: Path, motions: Path | None) -> Path:
    """Return where a clip's measurement is stored; another clip or motion has another path."""
    motion = talking_clips.load_motion(clip, motions).path
    name = Path(os.path.relpath(clip, folder)).as_posix()
    digest = hashlib.sha256(f"{name} {clip.stat().st_size} ".encode() + motion.read_bytes())
    return folder / FOLDER / f"{clip.stem}-{digest.hexdigest()[:12]}.npz"


def store_clip(path: Path, clip: SpokenClip) -> None:
    """Store a clip; its .npz file is written last and says that it is complete."""
    save_array(path.with_suffix(".npy"), clip.hubert)
    with replace_atomically(path, overwrite=True) as partial:
        np.savez(
            partial,
            pitch=clip.pitch,
            expression=clip.expression,
            blink=clip.blink,
            mouth=clip.mouth,
        )


def save_array(path: Path, values: Array32) -> None:
    """Write an array, whole or not at all."""
    with replace_atomically(path, overwrite=True) as partial:
        np.save(partial, values)


def open_clip(path: Path) -> StoredClip:
    """Open a stored clip. Raises MediaError when a file is damaged."""
    rows = path.with_suffix(".npy")
    empty = read_array(rows)[:0]
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            others = {name: arrays[name] for name in ("pitch", "expression", "blink", "mouth")}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as exc:
        raise _damaged(path, exc) from exc
    return StoredClip(rows, SpokenClip(np.array(empty), **others))


def read_array(path: Path) -> Array32:
    """Map an array on disk into memory. Raises MediaError when the file is damaged."""
    try:
        return np.asarray(np.load(path, mmap_mode="r"))
    except (OSError, ValueError, EOFError) as exc:
        raise _damaged(path, exc) from exc


def _damaged(path: Path, exc: Exception) -> MediaError:
    return MediaError(
        f"{path} cannot be read: {exc}.",
        f"Remove the folder {path.parent}; its clips are then measured again.",
    )
