"""Training pairs of fadm-s: a coarse and a true frame, rendered once and read by memory map."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from thcli.core.events import Finished, Listener, Started, silent
from thcli.core.geometry import bounding_box
from thcli.core.options import FadmTrainOptions, RunOptions, TemplateOptions, TrainOptions
from thcli.core.types import Array, Array32, Crop, Face, Image
from thcli.evaluate.datasets import talking_clips
from thcli.faces.crops.crop import corners, crop
from thcli.pipeline.observe.crop_templates import crop_placement
from thcli.refiners.fadm.attributes import mesh_attributes
from thcli.train.data.batches import Batch, stack_batch
from thcli.train.data.talking_pairs import Clips, create_pairs, finish_arrays, wanted_clips
from thcli.train.fadm.augment import StoredPair, augment_pair, mirror_pair, prepare_pair
from thcli.train.fadm.pairs import PairRenderer

LAYOUT = 3  # version of the folder; a change renders the pairs again
_READ_BATCH = 64  # pairs read at a time
MARGIN = 1 / 16  # of the side, on each side, for random shifts
PER_PAIR = ("truth", "coarse", "still")  # images stored per pair; "source" is stored per source


@dataclass(frozen=True)
class PairArrays:
    """All pairs, named as in the folder's files.

    truth, coarse, still: (N, S, S, 3) uint8 on disk; still is the source image in the truth's crop.
    source: (M, S, S, 3) uint8 on disk, the source image in its own face's crop. of: (N,) source of
    each pair. inside: (N, 4) bounds x0, y0, x1, y1 of the true frame in pixels of its crop; pixels
    beyond are extrapolated. attributes: (N, A) of the true frame. source_attributes: (M, A).
    clip: (N,) number of the clip.
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


def load_pairs(
    folder: Path, size: int, model_options: FadmTrainOptions, seed: int, on: Listener = silent
) -> PairArrays:
    """Return the pairs of a folder of clips, from disk or rendered now.

    Raises:
        MediaError: No clip can be used.
        OutputError: The folder cannot be written.
        WeightsError: Weights of the engine's networks are missing.
    """
    clips = wanted_clips(folder, model_options)
    pair_folder = (Path(model_options.pairs) if model_options.pairs else folder) / f".fadm-{size}"
    facts = {
        "layout": LAYOUT,
        "data": talking_clips.clips_fingerprint(clips),
        "sources": model_options.sources,
        "drivers": model_options.drivers,
        "seed": seed,
    }
    note = pair_folder / "facts.json"
    if not note.is_file() or json.loads(note.read_text("utf-8")) != facts:
        _write_pairs(clips, pair_folder, size, model_options, seed, on)
        note.write_text(json.dumps(facts), "utf-8")
    with np.load(pair_folder / "rows.npz") as rows:
        table = {name: rows[name] for name in rows.files}
    images = {
        name: np.load(pair_folder / f"{name}.npy", mmap_mode="r") for name in (*PER_PAIR, "source")
    }
    return PairArrays(**images, **table)


def _write_pairs(
    clips: Clips, folder: Path, size: int, model_options: FadmTrainOptions, seed: int, on: Listener
) -> None:
    side = padded_size(size)
    limit = len(clips) * model_options.sources
    counts = dict.fromkeys(PER_PAIR, limit * model_options.drivers) | {"source": limit}
    shapes = {name: ((count, side, side, 3), np.uint8) for name, count in counts.items()}
    renderer = PairRenderer(RunOptions(device="cpu"))
    arrays = create_pairs(folder, shapes)
    began = time.perf_counter()
    on(Started("draw", len(clips), "clips"))
    rows: list[dict[str, Any]] = []
    sources: list[Array32] = []
    for number, pairs, _ in renderer.render_clips(clips, model_options, seed, on):
        previous = -1
        for pair in pairs:
            if pair.source_frame != previous:
                previous = pair.source_frame
                placement = refiner_crop(pair.source_mesh, size)
                arrays["source"][len(sources)] = crop(pair.source, placement)
                sources.append(mesh_attributes(pair.source_mesh))
            placement = refiner_crop(pair.mesh, size)
            for name, image in zip(PER_PAIR, (pair.truth, pair.coarse, pair.source), strict=True):
                arrays[name][len(rows)] = crop(image, placement)
            rows.append(
                {
                    "of": len(sources) - 1,
                    "inside": frame_bounds(pair.truth, placement),
                    "attributes": mesh_attributes(pair.mesh),
                    "clip": number,
                }
            )
    finish_arrays(folder, arrays, len(rows))
    table: dict[str, Any] = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    np.savez(folder / "rows.npz", source_attributes=np.array(sources), **table)
    on(Finished("draw", len(rows), time.perf_counter() - began))


def padded_size(size: int) -> int:
    """Return the side of the stored crops for images of `size` pixels."""
    return size + 2 * round(size * MARGIN)


def refiner_crop(mesh: Array, size: int) -> Crop:
    """Return the refiner's crop placement of a face, with a margin."""
    points = mesh.astype(np.float32)
    inner = crop_placement(
        Face(bounding_box(points), 1.0, mesh=points), TemplateOptions(template="square", size=size)
    )
    matrix = inner.crop_from_frame.copy()
    matrix[:2, 2] += round(size * MARGIN)
    return Crop(matrix, (padded_size(size), padded_size(size)))


def frame_bounds(image: Image, placement: Crop) -> Array32:
    """Return the image's bounds x0, y0, x1, y1 (4,) in the pixels of an upright crop."""
    height, width = image.shape[:2]
    frame_from_crop = np.asarray(np.linalg.inv(placement.crop_from_frame), np.float64)
    outline = corners(Crop(frame_from_crop, (width, height)))
    return np.concatenate([outline.min(0), outline.max(0)]).astype(np.float32)


class CoarsePairs:
    """Batches of coarse and true frames with their source.

    coarse, truth, source: (B, 3, S, S) in [0, 1]. inside: (B, 1, S, S), 1 within the true frame.
    attributes: (B, A) source minus driving. source_flow: (B, 2, S, S) optical flow from the coarse
    frame to the source, pixels. residual_flow: (B, 2, S, S) optical flow from the true to the
    coarse frame, pixels. untouched: (B,) 1 where the coarse frame is the true one.
    """

    def __init__(
        self,
        folder: Path,
        options: TrainOptions,
        model_options: FadmTrainOptions,
        batch: int,
        on: Listener = silent,
    ) -> None:
        self.pairs = load_pairs(folder, options.size, model_options, options.seed, on)
        self._options, self._model_options, self._batch = options, model_options, batch
        clips = talking_clips.clips_fingerprint(talking_clips.find_clips(folder))
        self._fingerprint = f"{clips}-{len(self.pairs.of)}"

    def __len__(self) -> int:
        return len(self.pairs.of)

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def close(self) -> None:
        """Do nothing: the memory maps are closed with their last array."""

    def batch(self, step: int) -> Batch:
        rng = np.random.default_rng([self._options.seed, step, 11])
        items = [self._item(int(i), rng) for i in rng.integers(len(self), size=self._batch)]
        return stack_batch(items)

    def sample_batch(self, most: int = 6) -> Batch:
        """Return the fixed items of the sample sheets, spread over the clips."""
        chosen = np.linspace(0, len(self) - 1, min(most, len(self))).astype(int)
        return stack_batch([self._item(int(i), None) for i in chosen])

    def flows(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield source flow, residual flow and attributes of all pairs and their mirror images."""
        for first in range(0, len(self), _READ_BATCH):
            last = min(first + _READ_BATCH, len(self))
            items = [self._item(i, None) for i in range(first, last)]
            for part in (items, [mirror_pair(item) for item in items]):
                batch = stack_batch(part)
                yield batch["source_flow"], batch["residual_flow"], batch["attributes"]

    def _item(self, index: int, rng: np.random.Generator | None) -> dict[str, Array32]:
        pairs = self.pairs
        source = int(pairs.of[index])
        item = StoredPair(
            pairs.coarse[index],
            pairs.truth[index],
            pairs.still[index],
            pairs.source[source],
            pairs.inside[index],
            pairs.source_attributes[source] - pairs.attributes[index],
        )
        size = self._options.size
        if rng is None:
            return prepare_pair(item, size)
        return augment_pair(item, size, self._options, self._model_options, rng)
