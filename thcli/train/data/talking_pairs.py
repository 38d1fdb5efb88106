"""Tracked talking clips that training pairs are rendered from, and the folder of such pairs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli import media
from thcli.core.errors import MediaError, NoFaceError
from thcli.core.imaging import to_uint8
from thcli.core.options import FaceOptions, RunOptions
from thcli.core.options.train_models import PairTrainOptions
from thcli.core.types import Face, Frame, Image, Motion
from thcli.evaluate.datasets import talking_clips
from thcli.media.failures import to_output_error
from thcli.motion.file.reader import MotionFile
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.train.data.disk_arrays import create_arrays

HINT = "Give a folder of talking clips; an index.csv (file, speaker) names the speakers."
MIN_FRAMES, MAX_FRAMES = 12, 400  # of a usable clip; read from a clip
Clips = Sequence[tuple[Path, str]]
Arrays = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class TrackedClip:
    """A clip whose face is tracked.

    store: its motion.  motion: of the frames that were read.  frames, images: these frames, and
    their pixels (H, W, 3) uint8.  tracked: numbers of the frames that show the face.
    """

    store: MotionFile
    motion: Motion
    frames: list[Frame]
    images: list[Image]
    tracked: npt.NDArray[np.int64]


class SourceTracker:
    """The tracker of source frames, loaded once."""

    def __init__(self, run: RunOptions) -> None:
        """Load the tracker.

        Raises:
            WeightsError: Weights are missing.
        """
        self._face_finder = FaceFinder.load(FaceOptions(), run)

    def find_face(self, image: Image, name: str) -> Face:
        """Return the largest face of an image, tracked closely.

        Raises:
            NoFaceError: It shows none.
        """
        found = self._face_finder.find(image)
        if not found:
            raise NoFaceError(f"{name} shows no face in a source image.", "Remove it.")
        return self._face_finder.refine_landmarks(image, max(found, key=lambda face: face.area))


def read_clip(clip: Path, motions: Path | None) -> TrackedClip:
    """Read a clip and the motion of its face.

    Args:
        clip: The video.
        motions: Folder of motion files, created where they are missing; None: beside the clip.

    Raises:
        MediaError: The clip is too short or cannot be read.
        OutputError: The motion file cannot be written.
    """
    store = talking_clips.load_motion(clip, motions)
    with media.read(clip) as reader:
        frames = list(islice(reader, min(len(store), MAX_FRAMES)))
    motion = store.window(0, len(frames))
    tracked = np.flatnonzero(motion.valid)
    if store.kind != "mesh" or len(tracked) < MIN_FRAMES:
        raise MediaError(f"{clip.name} is too short, or its face is tracked in too few frames.")
    return TrackedClip(store, motion, frames, [to_uint8(f.pixels) for f in frames], tracked)


def wanted_clips(folder: Path, options: PairTrainOptions) -> Clips:
    """Return the clips of a folder that options choose, with their speakers.

    Raises:
        MediaError: There is none.
    """
    found = talking_clips.find_clips(folder)
    found = talking_clips.select_clips(found, options.only, options.held_out)
    return talking_clips.subsample_clips(found, options.clips)


def create_pairs(
    folder: Path, shapes: Mapping[str, tuple[tuple[int, ...], npt.DTypeLike]]
) -> Arrays:
    """Create a new folder of arrays on disk, NAME.npy each, in place of an earlier one.

    Args:
        folder: The folder.
        shapes: Shape and type of each array.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError as exc:
        raise to_output_error(folder, exc) from exc
    made = create_arrays({folder / f"{name}.npy": shape for name, shape in shapes.items()})
    return dict(zip(shapes, made, strict=True))


def stored_pairs(
    folder: Path, facts: Mapping[str, object], names: Iterable[str], write: Callable[[], int]
) -> Mapping[str, npt.NDArray[Any]]:
    """Return the memory maps of a folder's arrays NAME.npy.

    Args:
        folder: of the pairs.
        facts: what the pairs follow from; they are written anew where others did.
        names: of the arrays.
        write: writes the arrays and returns how many pairs there are.
    """
    note = folder / "facts.json"
    if not note.is_file() or json.loads(note.read_text("utf-8"))["asked"] != facts:
        note_text = json.dumps({"asked": facts, "count": write()})
        note.write_text(note_text, "utf-8")
    count = json.loads(note.read_text("utf-8"))["count"]
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r")[:count] for name in names}


def finish_arrays(
    folder: Path, arrays: Arrays, count: int, files: str = "clips", hint: str = HINT
) -> None:
    """Write the arrays to disk; without any pair, remove the folder.

    Args:
        folder, arrays: of the pairs.
        count: pairs.
        files, hint: what the pairs come from, and what to give instead, for the message.

    Raises:
        MediaError: There is no pair.
    """
    for array in arrays.values():
        if isinstance(array, np.memmap):
            array.flush()
    if not count:
        shutil.rmtree(folder, ignore_errors=True)
        raise MediaError(f"None of the {files} can be used.", hint)
