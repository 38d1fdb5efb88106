"""Batches of the drawn and photographed insides of mouths, drawn once and read by memory map."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from thcli.core.errors import ThcliError
from thcli.core.events import Finished, Listener, Started, Step, Warned, silent
from thcli.core.options import MouthTrainOptions, RunOptions, TrainOptions
from thcli.engines.mesh.patches import inside
from thcli.engines.mesh.patches.inputs import gain
from thcli.evaluate.datasets.parse_pairs import LabelledPair, list_pairs
from thcli.evaluate.datasets.talking_clips import clips_fingerprint
from thcli.train.data.batches import Batch
from thcli.train.data.talking_pairs import create_pairs, finish_arrays, stored_pairs
from thcli.train.mouths.pairs import MouthPair, MouthPairRenderer

Stored = Mapping[str, npt.NDArray[Any]]
HINT = "Give labelled photographs of open mouths."
LAYOUT = 4  # version of the folder; a change draws the pairs again
DARK, DARK_FACTOR = 0.5, 4.0  # brightness over the skin's; weight of an inside that is all dark
_SIDES = inside.SIZE[::-1]
SHAPES: dict[str, tuple[tuple[int, ...], npt.DTypeLike]] = {
    "coarse": ((*_SIDES, 3), np.uint8),
    "truth": ((*_SIDES, 3), np.uint8),
    "mask": (_SIDES, np.uint8),
    "tone": ((3,), np.float32),
    "kept_out": ((), np.bool_),
}
"""Shape of an item and type of each field of the pairs."""


class MouthBatches:
    """Batches of pairs.

    coarse, truth: (B, h, w, 3) uint8.  mask: (B, h, w) uint8.  gain: (B,) from colours to those of
    the network.
    """

    def __init__(
        self,
        folder: Path,
        options: TrainOptions,
        model_options: MouthTrainOptions,
        batch: int,
        on: Listener = silent,
    ) -> None:
        self._options, self._batch = options, batch
        self._pairs = load_pairs(folder, model_options, options.seed, on)
        is_kept_out = np.asarray(self._pairs["kept_out"])
        self._rows = np.flatnonzero(~is_kept_out)
        self._tested = np.flatnonzero(is_kept_out) if is_kept_out.any() else self._rows
        self._chances = _chances(self._pairs, self._rows)
        digest = hashlib.sha256(np.ascontiguousarray(self._pairs["mask"][:, ::8, ::8]).tobytes())
        self._fingerprint = f"{digest.hexdigest()[:16]}-{len(self)}"

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def close(self) -> None:
        """Do nothing: the memory maps are closed with their last array."""

    def batch(self, step: int) -> Batch:
        rng = np.random.default_rng([self._options.seed, step, 19])
        rows = rng.choice(self._rows, self._batch, p=self._chances)
        is_mirrored = (rng.random(self._batch) < 0.5) & self._options.flip
        return self._stack(rows, is_mirrored)

    def sample_batch(self, most: int = 16) -> Batch:
        """Return the fixed items of the sample sheets, of pairs that are kept out."""
        rows = np.linspace(0, len(self._tested) - 1, min(most, len(self._tested))).astype(int)
        rows = self._tested[rows]
        return self._stack(rows, np.zeros(len(rows), np.bool_))

    def _stack(self, rows: npt.NDArray[Any], is_mirrored: npt.NDArray[np.bool_]) -> Batch:
        out: dict[str, npt.NDArray[Any]] = {}
        for name in ("coarse", "truth", "mask"):
            values = np.array(self._pairs[name][rows])
            values[is_mirrored] = values[is_mirrored][:, :, ::-1]
            out[name] = values
        tones = np.asarray(self._pairs["tone"][rows], np.float64)
        out["gain"] = np.array([gain(tone) for tone in tones], np.float32)
        return {name: torch.from_numpy(value) for name, value in out.items()}


def _chances(pairs: Stored, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the probabilities of pairs; grins are common and dark insides, as of speech, rare."""
    weights = np.empty(len(rows))
    for number, row in enumerate(rows):
        inside_pixels = pairs["truth"][row][pairs["mask"][row] > 127]
        dark = inside_pixels.mean(-1) < DARK * float(pairs["tone"][row].mean())
        weights[number] = 1 + DARK_FACTOR * float(dark.mean()) if len(dark) else 1.0
    return np.asarray(weights / weights.sum())


def load_pairs(
    folder: Path, model_options: MouthTrainOptions, seed: int, on: Listener = silent
) -> Stored:
    """Return the pairs of a folder of labelled photographs, from disk or drawn now.

    Raises:
        MediaError: no photograph can be used.
        OutputError: the folder cannot be written.
        WeightsError: weights of the tracker are missing.
    """
    pair_folder = (Path(model_options.pairs) if model_options.pairs else folder) / ".mouths"
    pairs = list_pairs(folder)
    files = [(path, "") for pair in pairs for path in (pair.image, pair.labels)]
    facts = {"layout": LAYOUT, "data": clips_fingerprint(files), "seed": seed}
    return stored_pairs(
        pair_folder, facts, SHAPES, lambda: _write_pairs(pair_folder, pairs, seed, on)
    )


def _write_pairs(folder: Path, pairs: Sequence[LabelledPair], seed: int, on: Listener) -> int:
    """Draw all pairs and return how many there are."""
    arrays = create_pairs(
        folder, {name: ((len(pairs), *shape), kind) for name, (shape, kind) in SHAPES.items()}
    )
    began = time.perf_counter()
    on(Started("draw", len(pairs), "photographs"))
    renderer = MouthPairRenderer(RunOptions(device="cpu"))
    count = left_out = 0
    for number, labelled in enumerate(pairs):
        try:
            pair = renderer.render(labelled, np.random.default_rng([seed, number]))
        except ThcliError:
            left_out += 1
        else:
            for field in fields(MouthPair):
                arrays[field.name][count] = getattr(pair, field.name)
            arrays["kept_out"][count] = labelled.kept_out
            count += 1
        on(Step("draw", number + 1))
    finish_arrays(folder, arrays, count, "photographs", HINT)
    if left_out:
        on(Warned(f"{left_out} photographs show no open mouth that can be drawn."))
    on(Finished("draw", count, time.perf_counter() - began))
    return count
