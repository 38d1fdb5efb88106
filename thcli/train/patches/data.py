"""Batches of the training pairs of patches-s, rendered once and read by memory map."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli.core.errors import ThcliError
from thcli.core.events import Finished, Listener, Started, Step, Warned, silent
from thcli.core.options import PatchTrainOptions, RunOptions, TrainOptions
from thcli.engines.mesh.patches import inputs, pack
from thcli.engines.mesh.patches.frames import EYE_SIZE
from thcli.evaluate.datasets import talking_clips
from thcli.train.data.batches import Batch, join_batch
from thcli.train.data.talking_pairs import (
    Clips,
    create_pairs,
    finish_arrays,
    stored_pairs,
    wanted_clips,
)
from thcli.train.patches.augment import Photometry, change_photometry
from thcli.train.patches.pairs import PatchPair, PatchPairRenderer

Stored = Mapping[str, npt.NDArray[Any]]
LAYOUT = 3  # version of the folder; a change renders the pairs again
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")
_EYE = (*EYE_SIZE[::-1], 3)
SHAPES: dict[str, tuple[int, ...]] = {
    "coarse_eyes": (2, 2, *_EYE),
    "true_eyes": (2, 2, *_EYE),
    "source_eyes": (2, *_EYE),
    "points": (2, 468, 3),
    "gaze": (2, 2, 2),
    "mesh": (468, 3),
    "iris": (2, 5, 2),
    "tone": (3,),
}
"""Shape of each field of a pair; images are uint8, the rest float32."""


class PatchBatches:
    """Batches of pairs, each of two consecutive frames.

    eyes: (4 B, 12, h, w) input of both eyes in both frames, frame by frame.  true_eyes:
    (4 B, 3, h, w) around 0.  eye_window: (4 B, 1, h, w).
    """

    def __init__(
        self,
        folder: Path,
        options: TrainOptions,
        model_options: PatchTrainOptions,
        batch: int,
        on: Listener = silent,
    ) -> None:
        self._options, self._batch = options, batch
        self._pairs = load_pairs(folder, model_options, options.seed, on)
        clips = talking_clips.clips_fingerprint(talking_clips.find_clips(folder))
        self._fingerprint = f"{clips}-{len(self)}"

    def __len__(self) -> int:
        return len(self._pairs["tone"])

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def close(self) -> None:
        """Do nothing: the memory maps are closed with their last array."""

    def batch(self, step: int) -> Batch:
        rng = np.random.default_rng([self._options.seed, step, 17])
        rows = rng.integers(len(self), size=self._batch)
        return join_batch([self._item(int(row), rng) for row in rows])

    def sample_batch(self, most: int = 8) -> Batch:
        """Return the fixed items of the sample sheets, spread over the pairs."""
        rows = np.linspace(0, len(self) - 1, min(most, len(self))).astype(int)
        return join_batch([self._item(int(row), None) for row in rows])

    def _item(self, row: int, rng: np.random.Generator | None) -> dict[str, npt.NDArray[Any]]:
        pair = {name: np.array(self._pairs[name][row]) for name in SHAPES}
        if rng is not None:
            change_photometry(pair, Photometry.draw(self._options.jitter, rng))
        return stack_pair(pair)


def stack_pair(pair: Stored) -> dict[str, npt.NDArray[Any]]:
    """Return the network's input of a pair and the truth, two frames each; see `PatchBatches`."""
    mesh, iris = pair["mesh"].astype(np.float64), pair["iris"].astype(np.float64)
    tone = pair["tone"].astype(np.float64)
    factor = inputs.gain(tone)
    source = pack.stack_source(
        (pair["source_eyes"][0], pair["source_eyes"][1]),
        mesh,
        pack.read_iris(mesh, None if np.isnan(iris).any() else iris),
        tone,
    )
    out: dict[str, list[npt.NDArray[Any]]] = {"eyes": [], "true_eyes": [], "eye_window": []}
    for frame in range(2):
        points = pair["points"][frame].astype(np.float64)
        left, right = pair["coarse_eyes"][frame]
        changes = pack.eye_changes(source, points)
        gaze = pair["gaze"][frame]
        eyes, window = pack.stack_eyes((left, right), source, points, gaze, changes)
        out["eyes"] += list(eyes)
        out["eye_window"] += list(window[:, None])
        out["true_eyes"] += [inputs.colours(eye, factor) for eye in pair["true_eyes"][frame]]
    return {name: np.stack(value) for name, value in out.items()}


def load_pairs(
    folder: Path, model_options: PatchTrainOptions, seed: int, on: Listener = silent
) -> Stored:
    """Return the pairs of a folder of clips and of photographs, from disk or rendered now.

    Raises:
        MediaError: No clip can be used.
        OutputError: The folder cannot be written.
        WeightsError: Weights of the tracker are missing.
    """
    clips = wanted_clips(folder, model_options)
    photographs = list_photographs(model_options.photographs)
    pair_folder = (Path(model_options.pairs) if model_options.pairs else folder) / ".patches"
    facts = {
        "layout": LAYOUT,
        "data": talking_clips.clips_fingerprint(clips),
        "photographs": len(photographs),
        "sources": model_options.sources,
        "drivers": model_options.drivers,
        "seed": seed,
    }
    return stored_pairs(
        pair_folder,
        facts,
        SHAPES,
        lambda: _write_pairs(pair_folder, clips, photographs, model_options, seed, on),
    )


def list_photographs(folder: str) -> list[Path]:
    """List the images below a folder; none for an empty name."""
    if not folder:
        return []
    return sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in IMAGE_ENDINGS)


def _write_pairs(
    folder: Path,
    clips: Clips,
    photographs: Sequence[Path],
    model_options: PatchTrainOptions,
    seed: int,
    on: Listener,
) -> int:
    """Render all pairs and return how many there are."""
    limit = len(clips) * model_options.sources * model_options.drivers + len(photographs)
    kinds = {name: np.uint8 if name.endswith("eyes") else np.float32 for name in SHAPES}
    arrays = create_pairs(
        folder, {name: ((limit, *shape), kinds[name]) for name, shape in SHAPES.items()}
    )
    began = time.perf_counter()
    on(Started("draw", len(clips) + len(photographs), "files"))
    count = 0
    for number, pairs in enumerate(_render(clips, photographs, model_options, seed)):
        try:
            for pair in pairs:
                for field in fields(PatchPair):
                    arrays[field.name][count] = getattr(pair, field.name)
                count += 1
        except ThcliError as exc:
            on(Warned(f"A file is left out. {exc.message}"))
        on(Step("draw", number + 1))
    finish_arrays(folder, arrays, count)
    on(Finished("draw", count, time.perf_counter() - began))
    return count


def _render(
    clips: Clips,
    photographs: Sequence[Path],
    model_options: PatchTrainOptions,
    seed: int,
) -> Iterator[Iterator[PatchPair]]:
    """Yield the pairs of each clip, then that of each photograph."""
    renderer = PatchPairRenderer(RunOptions(device="cpu"))
    motions = Path(model_options.motions) if model_options.motions else None
    for number, (path, _) in enumerate(clips):
        rng = np.random.default_rng([seed, number])
        yield renderer.render_clip(path, motions, model_options.sources, model_options.drivers, rng)
    for number, path in enumerate(photographs):
        rng = np.random.default_rng([seed, number, 1])
        yield (renderer.render_photograph(each, rng) for each in (path,))
