"""Talking clips as dh-s learns from them: faces held still in small pictures, and their measured articulation.

Clips come from `thcli prepare`, with their motion files. They are cut once, into a folder of the dataset; batches then read it by
memory map.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.format import open_memmap
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from thcli import media
from thcli.audio.read import starts
from thcli.audio.speech import Recording
from thcli.core.errors import MediaError
from thcli.core.events import Finished, Listener, Started, Step, Warned, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import TrainOptions
from thcli.core.protocols import Speech
from thcli.core.types import Array, Array32, Crop
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop
from thcli.faces.landmarks.topology import LIPS_OUTER
from thcli.media.failures import unwritable
from thcli.motion.canonical import neutral, unpack
from thcli.motion.file import MotionFile
from thcli.train.data.dataset import Piece, fingerprint, pieces
from thcli.voices.diffused_heads.articulation import code, measured, mirrored
from thcli.voices.diffused_heads.speech_codes import RATE

Batch = Mapping[str, Tensor]
LAYOUT = 2  # of the cut folder: another number cuts anew
MARGIN = 6  # pixels on every side that the pictures may be shifted by
STEADY = 1.0  # frames over which the crop's path is smoothed (Gaussian): the tracker trembles
FIXED = 2**31 - 1
PRESENT = 0.1  # of the items have the true frames before; where all have, their lips are copied and the code is not listened to
PLAIN = 0.3  # of the pairs are drawn without looking at the lips
LEAST = 8  # frames of a usable clip
HOW = "Make clips with: thcli prepare VIDEOS -o DATASET"


@dataclass(frozen=True)
class Cut:
    """All clips, one after the other. frames: (N, S, S, 3) uint8 on disk.  begins: (C + 1,) first frame of each clip.

    rows: (N, 12) measured articulation.  lips: (N, 4) box of the lips in pixels.  heard: (N, C) sound embeddings, where asked for.
    """

    frames: npt.NDArray[np.uint8]
    begins: npt.NDArray[np.int64]
    rows: Array
    lips: Array32
    heard: Array32 | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """How clips are cut. place: the square on landmarks.  listen: gives what is heard, (T, C) at RATE rows a second; None: nothing is."""

    place: Callable[[Array, int], Crop] = align.close
    listen: Callable[[Speech], Iterator[Array32]] | None = None
    name: str = ""


CLOSE = Way()


def cut(folder: Path, size: int, on: Listener = silent, way: Way = CLOSE) -> Cut:
    """The dataset's clips cut to faces of size + 2 MARGIN pixels: from an earlier run, or now. Raises MediaError, OutputError."""
    found = pieces(folder, on)
    where = folder / f".talking-{size}{way.name}"
    facts = {"layout": LAYOUT, "data": fingerprint(found)}
    note = where / "facts.json"
    if not note.is_file() or json.loads(note.read_text("utf-8")) != facts:
        _cut(found, where, size + 2 * MARGIN, on, way)
        note.write_text(json.dumps(facts), "utf-8")
    with np.load(where / "rows.npz") as rows:
        return Cut(
            np.load(where / "frames.npy", mmap_mode="r"),
            **{name: rows[name] for name in rows.files},
        )


def _cut(found: list[Piece], where: Path, side: int, on: Listener, way: Way) -> None:
    usable = [piece for piece in found if piece.motion is not None]
    total = sum(len(MotionFile(piece.motion)) for piece in usable if piece.motion)
    try:
        shutil.rmtree(where, ignore_errors=True)
        where.mkdir()
        frames = open_memmap(where / "frames.npy", "w+", np.uint8, (max(total, 1), side, side, 3))
    except OSError as exc:
        raise unwritable(where, exc) from exc
    on(Started("cut", len(usable), "clips"))
    begins, tables = [0], []
    for number, piece in enumerate(usable):
        try:
            clip = _clip(piece, side, way)
        except MediaError as exc:
            on(Warned(f"{piece.path.name} is left out. {exc.message}"))
            continue
        count = len(clip["rows"])
        frames[begins[-1] : begins[-1] + count] = clip.pop("pictures")
        begins.append(begins[-1] + count)
        tables.append(clip)
        on(Step("cut", number + 1))
    frames.flush()
    if not tables:
        shutil.rmtree(where, ignore_errors=True)
        raise MediaError(
            "None of the clips has a tracked face (and a sound, where it is listened to).", HOW
        )
    joined: dict[str, Any] = {
        name: np.concatenate([clip[name] for clip in tables]) for name in tables[0]
    }
    np.savez(where / "rows.npz", begins=np.array(begins), **joined)
    on(Finished("cut", len(tables), 0.0))


def _clip(piece: Piece, side: int, way: Way) -> dict[str, Any]:
    """One clip's pictures and rows. Raises MediaError when the face is not there throughout."""
    assert piece.motion is not None
    motion = MotionFile(piece.motion)
    rows = motion.window(0, len(motion))
    if motion.kind != "mesh" or len(rows) < LEAST or not rows.valid.all():
        raise MediaError("Its motion is short, has gaps, or is of another kind.")
    shape = rows.arrays["expression"].astype(np.float64) + neutral()
    pose = np.asarray(rows.arrays["pose"], np.float64)
    width, height = (int(v) for v in motion.constants["size"])
    steady = gaussian_filter1d(pose, STEADY, axis=0, mode="nearest")
    rest = np.broadcast_to(np.median(shape, axis=0), shape.shape)
    held = unpack(steady, rest, (width, height)).mesh()
    seen = unpack(pose, shape, (width, height)).mesh()
    pictures, lips, times = [], [], []
    with media.read(piece.path) as reader:
        for frame, still, mesh in zip(reader, held, seen, strict=False):
            at = widened(way.place(still, side - 2 * MARGIN), MARGIN)
            times.append(Fraction(frame.pts) * frame.time_base)
            pictures.append(np.asarray(crop(to_uint8(frame.pixels), at), np.uint8))
            mouth = mesh[LIPS_OUTER, :2] @ at.crop_from_frame[:2, :2].T + at.crop_from_frame[:2, 2]
            lips.append(np.concatenate([mouth.min(0), mouth.max(0)]))
    if len(pictures) != len(rows):
        raise MediaError("Its motion is another clip's.")
    out = {
        "pictures": np.stack(pictures),
        "rows": measured(shape, pose[:, :3]),
        "lips": np.array(lips, np.float32),
    }
    if way.listen is not None:
        beside = piece.path.with_suffix(".wav")
        source = beside if beside.is_file() else piece.path
        heard = np.concatenate(list(way.listen(Recording(source))))
        index = [round((time - starts(source)) * RATE) for time in times]
        out["heard"] = heard[np.clip(index, 0, len(heard) - 1)]
    return out


def widened(where: Crop, margin: int) -> Crop:
    """The same crop with so many pixels more on every side."""
    matrix = where.crop_from_frame.copy()
    matrix[:2, 2] += margin
    return Crop(matrix, (where.size[0] + 2 * margin, where.size[1] + 2 * margin))


class TalkingClips:
    """Batches of target frames with what they are painted from.

    target, identity (B, 3, S, S) and motion (B, 6, S, S, oldest first) in [-1, 1]; codes (B, 5, 12), those of the frames around the
    target; lips (B, 4) box in pixels; heard (B, 5, C) where the clips were listened to.
    """

    def __init__(
        self,
        folder: Path,
        options: TrainOptions,
        batch: int,
        around: int,
        on: Listener = silent,
        way: Way = CLOSE,
    ) -> None:
        self.cut = cut(folder, options.size, on, way)
        self._options, self._batch, self._around = options, batch, around
        self._clips = len(self.cut.begins) - 1
        self._prints = fingerprint(pieces(folder))

    def __len__(self) -> int:
        return self._clips

    @property
    def fingerprint(self) -> str:
        return self._prints

    def close(self) -> None:
        """The memory map goes with its last array."""

    def batch(self, step: int) -> Batch:
        draw = np.random.default_rng([self._options.seed, step, 7])
        clips = draw.integers(self._clips, size=self._batch)
        items = [self._item(int(clip), draw, augment=True) for clip in clips]
        return self._stacked(items)

    def fixed(self, most: int = 6) -> Batch:
        """Items of clips that lie far from each other, as they are."""
        draw = np.random.default_rng([self._options.seed, FIXED])
        chosen = np.linspace(0, self._clips - 1, min(most, self._clips)).astype(int)
        return self._stacked([self._item(int(clip), draw, augment=False) for clip in chosen])

    def _stacked(self, items: list[dict[str, Array32]]) -> dict[str, Tensor]:
        return {
            name: torch.from_numpy(np.stack([item[name] for item in items])) for name in items[0]
        }

    def _chosen(self, begin: int, end: int, draw: np.random.Generator) -> tuple[int, int]:
        """Identity and target. Portraits close their lips and speech opens them: for dh-s such pairs come oftener than by chance."""
        found = begin + draw.choice(end - begin, 6, replace=False)
        if self.cut.heard is not None or draw.random() < PLAIN:
            return int(found[0]), int(found[1])
        gaps = self.cut.rows[found, 0]
        return int(found[:4][gaps[:4].argmin()]), int(found[4:][gaps[4:].argmax()])

    def _item(self, clip: int, draw: np.random.Generator, *, augment: bool) -> dict[str, Array32]:
        begin, end = int(self.cut.begins[clip]), int(self.cut.begins[clip + 1])
        identity, now = self._chosen(begin, end, draw)
        before = [identity if now - back < begin else now - back for back in (2, 1)]
        if self.cut.heard is None and draw.random() >= PRESENT:
            before = [identity, identity]
        window = np.clip(np.arange(now - self._around, now + self._around + 1), begin, end - 1)
        codes = code(self.cut.rows[window], self.cut.rows[identity])
        x, y = draw.integers(0, 2 * MARGIN + 1, 2) if augment else (MARGIN, MARGIN)
        side = self._options.size
        pictures = np.stack([self.cut.frames[i] for i in (now, identity, *before)])[
            :, y : y + side, x : x + side
        ]
        lips = self.cut.lips[now] - np.array([x, y, x, y], np.float32)
        if augment and self._options.flip and draw.random() < 0.5:
            pictures, codes = pictures[:, :, ::-1], mirrored(codes)
            lips = np.array([side - 1 - lips[2], lips[1], side - 1 - lips[0], lips[3]], np.float32)
        unit = pictures.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - 1
        if augment:
            unit = tinted(unit, draw, self._options.jitter)
            codes = codes + draw.normal(0, 0.1, codes.shape).astype(np.float32)
        motion = unit[2:]
        if (
            augment and self.cut.heard is None and draw.random() < 0.5
        ):  # what it made itself is never as clean as what it learns from
            motion = motion + draw.normal(0, draw.uniform(0, 0.15), motion.shape).astype(np.float32)
        item = {
            "target": unit[0],
            "identity": unit[1],
            "motion": motion.reshape(-1, side, side),
            "codes": codes,
            "lips": lips,
        }
        return item if self.cut.heard is None else item | {"heard": self.cut.heard[window]}


def tinted(unit: Array32, draw: np.random.Generator, amount: float) -> Array32:
    """Pictures in [-1, 1] in another light: contrast, and brightness of each colour, the same for all of them."""
    gain = draw.uniform(1 - 2 * amount, 1 + 2 * amount)
    shift = draw.normal(0, amount, (3, 1, 1))
    lit: Array32 = np.clip(unit * np.float32(gain) + shift.astype(np.float32), -1, 1)
    return lit
