"""What fadm-s learns from: pairs of a coarse frame and the true one, cut out once into a folder, and batches of them by memory map."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from thcli.core.errors import MediaError, ThcliError
from thcli.core.events import Finished, Listener, Started, Step, Warned, silent
from thcli.core.geometry import box_of
from thcli.core.options import FadmTrainOptions, RunOptions, TemplateOptions, TrainOptions
from thcli.core.types import Array, Array32, Crop, Face, Image
from thcli.evaluate.datasets import talking_clips
from thcli.faces.crops.crop import corners, crop
from thcli.media.failures import unwritable
from thcli.pipeline.observe.crop_track import place_of
from thcli.refiners.fadm.attributes import numbers_of
from thcli.train.fadm.augment import Item, augmented, flipped, plain
from thcli.train.fadm.pairs import Maker, Pair

Batch = Mapping[str, Tensor]
Clips = Sequence[tuple[Path, str]]
LAYOUT = 3  # of the folder: another number cuts anew
_AT_ONCE = 64  # pairs that are read together
MARGIN = 1 / 16  # of the side, on each side, that the pictures may be moved by
OF_PAIRS = ("truth", "coarse", "still")
HOW = "Give a folder of talking clips; an index.csv (file, speaker) says who is who."


@dataclass(frozen=True)
class Cut:
    """All pairs. truth, coarse, still: (N, S, S, 3) uint8 and source: (M, S, S, 3) on disk.  of: (N,) which source each pair has.

    still: the source's picture where the truth's crop lies; source: where its own face does.

    inside: (N, 4) the truth's frame x0, y0, x1, y1 in pixels of its crop: what lies beyond was never filmed.  attributes: (N, A) of the true
    frame and source_attributes: (M, A).  clip: (N,) number of the clip.
    """

    truth: npt.NDArray[np.uint8]
    coarse: npt.NDArray[np.uint8]
    still: npt.NDArray[np.uint8]
    source: npt.NDArray[np.uint8]
    of: npt.NDArray[np.int64]
    inside: Array32
    attributes: Array32
    source_attributes: Array32
    clip: npt.NDArray[np.int64]


class Drawn(Protocol):
    """What draws pairs of a clip (`fadm_pairs.Maker`)."""

    def pairs(
        self,
        clip: Path,
        motions: Path | None,
        sources: int,
        drivers: int,
        draw: np.random.Generator,
    ) -> list[Pair]: ...


def cut(folder: Path, size: int, own: FadmTrainOptions, seed: int, on: Listener = silent) -> Cut:
    """The pairs of a folder of clips, from an earlier run or drawn now. Raises MediaError, OutputError, WeightsError for the engine's networks."""
    clips = thinned(
        talking_clips.chosen(talking_clips.find(folder), own.only, own.held_out), own.clips
    )
    where = (Path(own.pairs) if own.pairs else folder) / f".fadm-{size}"
    facts = {
        "layout": LAYOUT,
        "data": talking_clips.fingerprint(clips),
        "sources": own.sources,
        "drivers": own.drivers,
        "seed": seed,
    }
    note = where / "facts.json"
    if not note.is_file() or json.loads(note.read_text("utf-8")) != facts:
        _cut(clips, where, size, own, seed, on)
        note.write_text(json.dumps(facts), "utf-8")
    with np.load(where / "rows.npz") as rows:
        table = {name: rows[name] for name in rows.files}
    pictures = {
        name: np.load(where / f"{name}.npy", mmap_mode="r") for name in (*OF_PAIRS, "source")
    }
    return Cut(**pictures, **table)


def thinned(clips: Clips, most: int) -> Clips:
    """At most so many clips of each speaker, evenly chosen, in the order that they have."""
    kept: set[Path] = set()
    for who in {speaker for _, speaker in clips}:
        theirs = [path for path, speaker in clips if speaker == who]
        kept |= {
            theirs[i]
            for i in np.unique(np.linspace(0, len(theirs) - 1, min(most, len(theirs))).astype(int))
        }
    return [(path, who) for path, who in clips if path in kept]


def _cut(
    clips: Clips, where: Path, size: int, own: FadmTrainOptions, seed: int, on: Listener
) -> None:
    side = padded(size)
    most = len(clips) * own.sources
    shapes = dict.fromkeys(OF_PAIRS, most * own.drivers) | {"source": most}
    maker = Maker(RunOptions(device="cpu"))
    try:
        shutil.rmtree(where, ignore_errors=True)
        where.mkdir(parents=True)
        maps = {
            n: open_memmap(where / f"{n}.npy", "w+", np.uint8, (count, side, side, 3))
            for n, count in shapes.items()
        }
    except OSError as exc:
        raise unwritable(where, exc) from exc
    on(Started("draw", len(clips), "clips"))
    rows: list[dict[str, Any]] = []
    sources: list[Array32] = []
    for number, (path, _) in enumerate(clips):
        draw = np.random.default_rng([seed, number])
        try:
            found = maker.pairs(
                path, Path(own.motions) if own.motions else None, own.sources, own.drivers, draw
            )
        except ThcliError as exc:
            on(Warned(f"{path.name} is left out. {exc.message}"))
            continue
        last = -1
        for pair in found:
            if pair.source_frame != last:
                last = pair.source_frame
                maps["source"][len(sources)] = crop(pair.source, where_of(pair.source_mesh, size))
                sources.append(numbers_of(pair.source_mesh))
            at = where_of(pair.mesh, size)
            for name, picture in zip(OF_PAIRS, (pair.truth, pair.coarse, pair.source), strict=True):
                maps[name][len(rows)] = crop(picture, at)
            rows.append(
                {
                    "of": len(sources) - 1,
                    "inside": filmed(pair.truth, at),
                    "attributes": numbers_of(pair.mesh),
                    "clip": number,
                }
            )
        on(Step("draw", number + 1))
    for pictures in maps.values():
        pictures.flush()
    if not rows:
        shutil.rmtree(where, ignore_errors=True)
        raise MediaError("None of the clips can be used.", HOW)
    table: dict[str, Any] = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    np.savez(where / "rows.npz", source_attributes=np.array(sources), **table)
    on(Finished("draw", len(rows), 0.0))


def padded(size: int) -> int:
    """The side of what is kept for pictures of `size` pixels."""
    return size + 2 * round(size * MARGIN)


def where_of(mesh: Array, size: int) -> Crop:
    """The refiner's square around a face, with a margin."""
    points = mesh.astype(np.float32)
    inner = place_of(
        Face(box_of(points), 1.0, mesh=points), TemplateOptions(template="square", size=size)
    )
    matrix = inner.crop_from_frame.copy()
    matrix[:2, 2] += round(size * MARGIN)
    return Crop(matrix, (padded(size), padded(size)))


def filmed(picture: Image, where: Crop) -> Array32:
    """(4,) x0, y0, x1, y1 of the picture's outline in an upright crop's pixels."""
    height, width = picture.shape[:2]
    outline = corners(
        Crop(np.asarray(np.linalg.inv(where.crop_from_frame), np.float64), (width, height))
    )
    return np.concatenate([outline.min(0), outline.max(0)]).astype(np.float32)


class CoarsePairs:
    """Batches: coarse, truth, source (B, 3, S, S) in 0..1; inside (B, 1, S, S), 1 where the truth was filmed; attributes (B, A), source minus driving.

    motion, off: (B, 2, S, S) pixels, where the coarse frame's content is in the source, and the truth's in the coarse frame.  untouched: (B,)
    1 where the coarse frame is the true one.
    """

    def __init__(
        self,
        folder: Path,
        options: TrainOptions,
        own: FadmTrainOptions,
        batch: int,
        on: Listener = silent,
    ) -> None:
        self.cut = cut(folder, options.size, own, options.seed, on)
        self._options, self._own, self._batch = options, own, batch
        self._print = f"{talking_clips.fingerprint(talking_clips.find(folder))}-{len(self.cut.of)}"

    def __len__(self) -> int:
        return len(self.cut.of)

    @property
    def fingerprint(self) -> str:
        return self._print

    def close(self) -> None:
        """The memory maps go with their last array."""

    def batch(self, step: int) -> Batch:
        draw = np.random.default_rng([self._options.seed, step, 11])
        items = [self._item(int(i), draw) for i in draw.integers(len(self), size=self._batch)]
        return stacked(items)

    def fixed(self, most: int = 6) -> Batch:
        """Pairs of clips that lie far from each other, as they are."""
        chosen = np.linspace(0, len(self) - 1, min(most, len(self))).astype(int)
        return stacked([self._item(int(i), None) for i in chosen])

    def motions(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Of all pairs as they are, and mirrored: motion, off (B, 2, S, S) and attributes (B, A)."""
        for first in range(0, len(self), _AT_ONCE):
            rows = [self._item(i, None) for i in range(first, min(first + _AT_ONCE, len(self)))]
            for part in (rows, [flipped(row) for row in rows]):
                found = stacked(part)
                yield found["motion"], found["off"], found["attributes"]

    def _item(self, index: int, draw: np.random.Generator | None) -> dict[str, Array32]:
        kept = self.cut
        of = int(kept.of[index])
        item = Item(
            kept.coarse[index],
            kept.truth[index],
            kept.still[index],
            kept.source[of],
            kept.inside[index],
            kept.source_attributes[of] - kept.attributes[index],
        )
        size = self._options.size
        return (
            plain(item, size)
            if draw is None
            else augmented(item, size, self._options, self._own, draw)
        )


def stacked(items: Sequence[Mapping[str, Array32]]) -> Batch:
    """Items as one batch."""
    return {name: torch.from_numpy(np.stack([item[name] for item in items])) for name in items[0]}
