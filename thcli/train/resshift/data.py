"""Training crops of resshift-s, rendered once and read by memory map.

A crop is prepared by the functions of `thcli refine`: its detail is the source's.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thcli.core.events import Finished, Listener, Started, silent
from thcli.core.geometry import bounding_box
from thcli.core.options import ResshiftTrainOptions, RunOptions, TemplateOptions, TrainOptions
from thcli.core.types import Array, Array32, Crop, Face, Image
from thcli.evaluate.datasets import talking_clips
from thcli.evaluate.datasets.degraded_clips import Degradation, degrade
from thcli.faces.crops.crop import corners
from thcli.pipeline.observe.crop_templates import crop_placement
from thcli.pipeline.refining.detail_crops import (
    aligned_placement,
    analyse_face,
    crop_change,
    cut,
    reduce,
    source_texture,
    view_residual,
)
from thcli.pipeline.refining.subjects import DetailSource
from thcli.refiners.detail.texture import Texture
from thcli.refiners.resshift.refiner import ShiftRefiner
from thcli.train.data.batches import Batch, stack_batch
from thcli.train.data.talking_pairs import Clips, create_pairs, finish_arrays, wanted_clips
from thcli.train.fadm.augment import compress_jpeg
from thcli.train.fadm.pairs import CoarsePair, PairRenderer

LAYOUT = 1  # version of the folder; a change renders the crops again
IMAGES = ("truth", "detailed", "coarse", "source")
STORED = (*IMAGES, "visibility")
PATCH = 64  # pixels of a side of the training crops
_SPREAD = 0.25  # of their places around the middle, of the possible range
_UNTOUCHED, _MESH = 0.15, 0.2  # shares of camera frames and of the mesh engine's; the rest degraded
_SAME_VIEW = 0.7  # share of the crops whose colours are corrected towards the source
_QUALITY = (40, 92)  # JPEG quality of a degraded frame


@dataclass(frozen=True)
class StoredCrops:
    """All crops, named as in the folder's files.

    truth, detailed, coarse, source: (N, S, S, 3) uint8. visibility: (N, S, S) uint8.
    """

    truth: npt.NDArray[np.uint8]
    detailed: npt.NDArray[np.uint8]
    coarse: npt.NDArray[np.uint8]
    source: npt.NDArray[np.uint8]
    visibility: npt.NDArray[np.uint8]


def load_crops(
    folder: Path, size: int, model_options: ResshiftTrainOptions, seed: int, on: Listener = silent
) -> StoredCrops:
    """Return the crops of a folder of clips, from disk or rendered now.

    Raises:
        MediaError: No clip can be used.
        OutputError: The folder cannot be written.
        WeightsError: Weights of the engine's networks are missing.
    """
    clips = wanted_clips(folder, model_options)
    stored = (Path(model_options.pairs) if model_options.pairs else folder) / f".resshift-{size}"
    facts = {
        "layout": LAYOUT,
        "data": talking_clips.clips_fingerprint(clips),
        "sources": model_options.sources,
        "drivers": model_options.drivers,
        "motions": model_options.motions,
        "seed": seed,
    }
    note = stored / "facts.json"
    known = json.loads(note.read_text("utf-8")) if note.is_file() else {}
    count = known.pop("crops", 0)
    if known != facts:
        count = _write_crops(clips, stored, size, model_options, seed, on)
        note.write_text(json.dumps(facts | {"crops": count}), "utf-8")
    arrays = {name: np.load(stored / f"{name}.npy", mmap_mode="r") for name in STORED}
    return StoredCrops(**{name: array[:count] for name, array in arrays.items()})


def _write_crops(
    clips: Clips,
    folder: Path,
    size: int,
    model_options: ResshiftTrainOptions,
    seed: int,
    on: Listener,
) -> int:
    """Write the crops of all clips and return their number; the arrays may have empty rows."""
    most = len(clips) * model_options.sources * model_options.drivers
    shapes: dict[str, tuple[tuple[int, ...], npt.DTypeLike]] = {
        name: ((most, size, size, 3), np.uint8) for name in IMAGES
    }
    shapes["visibility"] = ((most, size, size), np.uint8)
    renderer = PairRenderer(RunOptions(device="cpu"))
    arrays = create_pairs(folder, shapes)
    began, count = time.perf_counter(), 0
    on(Started("draw", len(clips), "clips"))
    for _, pairs, rng in renderer.render_clips(clips, model_options, seed, on):
        for pair in pairs:
            for name, image in prepare_crop(pair, size, rng).items():
                arrays[name][count] = image
            count += 1
    finish_arrays(folder, arrays, count)
    on(Finished("draw", count, time.perf_counter() - began))
    return count


def prepare_crop(pair: CoarsePair, size: int, rng: np.random.Generator) -> dict[str, Image]:
    """Return the stored images of a pair, with a coarse frame of a random kind."""
    face, template = _face(pair.mesh), TemplateOptions(template=ShiftRefiner.template, size=size)
    placement, unit = aligned_placement(crop_placement(face, template))
    texture = _texture(pair, template, placement)
    coarse = analyse_face(coarse_frame(pair, rng), face, placement, unit, texture, 0)
    same_view = bool(rng.random() < _SAME_VIEW)
    change = crop_change([coarse], 0, texture, same_view=same_view)
    view = view_residual(coarse, change, texture, size)
    truth = reduce(cut(pair.truth, placement), size) / np.float32(255)
    images = {name: getattr(view, name) for name in (*IMAGES[1:], "visibility")}
    coded = {name: np.rint(image * 255) for name, image in ({"truth": truth} | images).items()}
    return {name: image.clip(0, 255).astype(np.uint8) for name, image in coded.items()}


def coarse_frame(pair: CoarsePair, rng: np.random.Generator) -> Image:
    """Return the true frame, the mesh engine's, or the true one with the errors of a GAN."""
    kind = rng.random()
    if kind < _UNTOUCHED:
        return pair.truth
    if kind < _UNTOUCHED + _MESH:
        return pair.coarse
    errors = Degradation(
        side=int(rng.integers(150, 280)),
        blur=float(rng.uniform(0.4, 1.4)),
        checkerboard=float(rng.uniform(0, 0.2)),
        colour=float(rng.uniform(0, 0.05)),
        wobble=float(rng.uniform(0.2, 1.4)),
        jitter=float(rng.uniform(0, 0.3)),
    )
    image = degrade(pair.truth, pair.frame, errors, int(rng.integers(2**20)))
    return compress_jpeg(image, int(rng.integers(*_QUALITY)))


def _face(mesh: Array) -> Face:
    points = mesh.astype(np.float32)
    return Face(bounding_box(points), 1.0, mesh=points)


def _texture(pair: CoarsePair, template: TemplateOptions, placement: Crop) -> Texture:
    """Prepare the source of a pair for crops as large as a placement."""
    side = float(np.ptp(corners(placement), 0).max())
    return source_texture(DetailSource(pair.source, _face(pair.source_mesh)), template, side)


class DetailedCrops:
    """Batches of crops with detail and of true ones.

    truth, detailed, coarse, source: (B, 3, S, S) in [0, 1]. visibility: (B, 1, S, S) in [0, 1].
    """

    def __init__(
        self,
        folder: Path,
        options: TrainOptions,
        model_options: ResshiftTrainOptions,
        batch: int,
        on: Listener = silent,
    ) -> None:
        self.crops = load_crops(folder, options.size, model_options, options.seed, on)
        self._options, self._batch = options, batch
        clips = talking_clips.clips_fingerprint(wanted_clips(folder, model_options))
        self._fingerprint = f"{clips}-{len(self)}"

    def __len__(self) -> int:
        return len(self.crops.truth)

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def close(self) -> None:
        """Do nothing: the memory maps are closed with their last array."""

    def batch(self, step: int) -> Batch:
        rng = np.random.default_rng([self._options.seed, step, 11])
        return stack_batch(
            [self._patch(int(i), rng) for i in rng.integers(len(self), size=self._batch)]
        )

    def sample_batch(self, most: int = 6) -> Batch:
        """Return whole crops for the sample sheets, spread over the clips."""
        chosen = np.linspace(0, len(self) - 1, min(most, len(self))).astype(int)
        return stack_batch([self._whole(int(i)) for i in chosen])

    def _whole(self, index: int) -> dict[str, Array32]:
        crops = self.crops
        out = {name: getattr(crops, name)[index].transpose(2, 0, 1) for name in IMAGES}
        out["visibility"] = crops.visibility[index][None]
        return {name: value.astype(np.float32) / np.float32(255) for name, value in out.items()}

    def _patch(self, index: int, rng: np.random.Generator) -> dict[str, Array32]:
        """Return a patch of a crop, near its middle, mirrored or not, in changed light."""
        free = self._options.size - PATCH
        places = np.clip(rng.normal(free / 2, _SPREAD * free, 2), 0, free)
        y, x = (int(place) for place in places)
        turn = -1 if self._options.flip and rng.random() < 0.5 else 1
        part = np.s_[:, y : y + PATCH, x : x + PATCH]
        item = {name: value[part][..., ::turn] for name, value in self._whole(index).items()}
        low, high = 1 - self._options.jitter, 1 + self._options.jitter
        gain = rng.uniform(low, high, (3, 1, 1)).astype(np.float32)
        for name in IMAGES:
            item[name] = np.clip(item[name] * gain, 0, 1)
        return {name: np.ascontiguousarray(value) for name, value in item.items()}
