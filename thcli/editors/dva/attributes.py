"""Attribute directions in identity space: rows of a linear classifier of CelebA's 40 attributes.

Source: Kim et al. 2023, sec. 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thcli.core.errors import UsageError, WeightsError
from thcli.core.options import RunOptions
from thcli.core.types import Array32
from thcli.editors.dva.arcface import LENGTH
from thcli.editors.shared.celeba import CELEBA
from thcli.weights import check_licence
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import Shaped, load_tensors, require_keys

WEIGHTS = "dva-classifier"
# Editor -> weights of its directions, which `thcli train attributes` fitted.
TRAINED = {"dva-s": "dva-s-attributes"}
PUBLISHED_STRENGTH = 0.25  # a usual strength of the published program
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class IdentityDirections:
    """Directions in the identity space of one editor.

    rows: (A, D) of the classifier, one for each of `names`.
    mean, spread: (D,) mean and standard deviation of identities; rows apply to normalised ones.
    lengths: (A,) length of strength 1 of `move_identity` along each row, in standard deviations;
    None for the published program's usual strength.
    part_lengths: lengths of the parts of an identity, each of which has unit norm.
    fingerprint: of the editor's weights, "" for any.
    motion: (A, L) that strength 1 adds to the landmarks, None where attributes leave them.
    """

    rows: Array32
    mean: Array32
    spread: Array32
    names: tuple[str, ...] = CELEBA
    lengths: Array32 | None = None
    part_lengths: tuple[int, ...] = ()
    fingerprint: str = ""
    motion: Array32 | None = None

    def shift_landmarks(self, strengths: Mapping[str, float]) -> Array32 | None:
        """Return what attributes add to landmarks (L,), None where they leave them.

        Raises UsageError for an unknown attribute.
        """
        if self.motion is None or not strengths:
            return None
        shifts = [strength * self.motion[self.row_index(n)] for n, strength in strengths.items()]
        return np.asarray(np.sum(shifts, axis=0), np.float32)

    def move_identity(self, identity: Array32, strengths: Mapping[str, float]) -> Array32:
        """Return the identity (D,) moved along attributes, each of its parts of unit length.

        Moves add up; strength 1 is plainly visible and negative strengths remove. Raises UsageError
        for an unknown attribute.
        """
        moved = (identity - self.mean) / self.spread
        for name, strength in strengths.items():
            index = self.row_index(name)
            row = self.rows[index]
            length = PUBLISHED_STRENGTH * np.sqrt(len(row))
            if self.lengths is not None:
                length = self.lengths[index]
            moved = moved + strength * length * row / max(float(np.linalg.norm(row)), _TINY)
        parts = np.split(
            moved * self.spread + self.mean, np.cumsum(self.part_lengths or (len(moved),))[:-1]
        )
        return np.concatenate([normalize(part) for part in parts])

    def move_published(self, identity: Array32, strengths: Mapping[str, float]) -> Array32:
        """Return the identity (D,) moved along attributes as published, of unit length.

        A strength of 0.25 is usual; negative strengths remove. Case, "-" and "_" in names do not
        matter. Raises UsageError for an unknown attribute.
        """
        moved = (identity - self.mean) / self.spread
        for name, strength in strengths.items():
            row = self.rows[self.row_index(name)]
            moved = moved + strength * np.sqrt(len(row)) * row / max(
                float(np.linalg.norm(row)), _TINY
            )
        return normalize(moved * self.spread + self.mean)

    def move_unnormalized(self, identity: Array32, strengths: Mapping[str, float]) -> Array32:
        """Return the identity (D,) moved without normalising identity or rows, of unit length.

        It is the second form of the published program.
        """
        steps = [
            strength * np.sqrt(len(identity)) * self.rows[self.row_index(n)]
            for n, strength in strengths.items()
        ]
        return normalize(identity + sum(steps, np.zeros_like(identity)))

    def scores(self, identities: Array32) -> Array32:
        """Project identities (N, D) on the directions: (N, A) in their standard deviations."""
        towards = self.rows / np.maximum(np.linalg.norm(self.rows, axis=1, keepdims=True), _TINY)
        return np.asarray((identities - self.mean) / self.spread @ towards.T, np.float32)

    def row_index(self, name: str) -> int:
        """Return the row of an attribute. Raises UsageError that offers the nearest names."""
        known = {_plain(one): index for index, one in enumerate(self.names)}
        if _plain(name) in known:
            return known[_plain(name)]
        near = get_close_matches(_plain(name), known, n=3, cutoff=0.4) or sorted(known)
        raise UsageError(f"There is no attribute {name!r}.", f"Did you mean {', '.join(near)}?")


def normalize(identity: Array32) -> Array32:
    """Scale an identity (D,) to unit length."""
    return np.asarray(identity / max(float(np.linalg.norm(identity)), _TINY), np.float32)


def load(run: RunOptions) -> IdentityDirections:
    """Load the published classifier, with the identity statistics that its file holds.

    Raises WeightsError when the file is absent or another one.
    """
    check_licence(WEIGHTS, run.licence)
    found = load_tensors(WEIGHTS, "numpy", offline=run.offline)
    _require_published_keys(found)
    rows, mean, spread = (
        np.asarray(found[name], np.float32)
        for name in ("classifier.weight", "conds_mean", "conds_std")
    )
    return IdentityDirections(rows, mean[0], spread[0])


def _require_published_keys(found: Mapping[str, Shaped]) -> None:
    count = len(CELEBA)
    wanted: dict[str, npt.NDArray[np.float64]] = {
        f"{prefix}classifier.weight": np.empty((count, LENGTH)) for prefix in ("", "ema_")
    }
    wanted |= {f"{prefix}classifier.bias": np.empty(count) for prefix in ("", "ema_")}
    wanted |= {name: np.empty((1, LENGTH)) for name in ("conds_mean", "conds_std")}
    require_keys(found, wanted, WEIGHTS)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a file has the arrays of a classifier or of our directions."""
    if checkpoint.name == WEIGHTS:
        _require_published_keys(checkpoint.tensors())
    else:
        _unpack(load_tensors(checkpoint.path, "numpy"), checkpoint.name)


def load_for_editor(editor: str, run: RunOptions) -> IdentityDirections:
    """Load the directions of the editor of that name.

    Raises:
        UsageError: when there are no directions for it.
        WeightsError: when their file is absent or refused by --licence.
    """
    if editor not in TRAINED:
        if editor != "dva":
            raise UsageError(
                f"The editor {editor} has no directions of attributes.",
                "Fit them with thcli train attributes.",
            )
        return load(run)
    check_licence(TRAINED[editor], run.licence)
    return _unpack(load_tensors(TRAINED[editor], "numpy", offline=run.offline), TRAINED[editor])


def load_file(path: Path) -> IdentityDirections:
    """Load directions that `thcli train attributes` wrote. Raises WeightsError."""
    return _unpack(load_tensors(path, "numpy"), path.name)


def pack_directions(directions: IdentityDirections) -> dict[str, npt.NDArray[np.generic]]:
    """Return the arrays of a file that `load_file` reads."""
    lengths = np.ones(len(directions.names)) if directions.lengths is None else directions.lengths
    motion = (
        np.zeros((len(directions.names), 0)) if directions.motion is None else directions.motion
    )
    return {
        "motion": motion.astype(np.float16),
        "rows": directions.rows.astype(np.float16),
        "mean": directions.mean.astype(np.float32),
        "spread": directions.spread.astype(np.float32),
        "lengths": np.asarray(lengths, np.float32),
        "units": np.array(directions.part_lengths, np.int64),
        "fingerprint": np.frombuffer(directions.fingerprint.encode(), np.uint8),
    }


def _unpack(found: Mapping[str, npt.NDArray[np.generic]], where: str) -> IdentityDirections:
    part_lengths = tuple(int(length) for length in found.get("units", np.zeros(0)))
    width, count = sum(part_lengths), len(CELEBA)
    found = {"motion": np.zeros((count, 0)), **found}  # files without one move no landmarks
    landmarks = found["motion"].shape[-1]
    wanted = {
        "motion": np.empty((count, landmarks)),
        "rows": np.empty((count, width)),
        "mean": np.empty(width),
        "spread": np.empty(width),
        "lengths": np.empty(count),
        "units": np.empty(len(part_lengths)),
        "fingerprint": np.empty(16),
    }
    require_keys(found, wanted, where)
    arrays = [
        np.asarray(found[name], np.float32)
        for name in ("rows", "mean", "spread", "lengths", "motion")
    ]
    rows, mean, spread, lengths, motion = arrays
    finite = all(np.isfinite(values).all() for values in arrays)
    if not finite or (spread <= 0).any():
        raise WeightsError(
            f"{where} holds values that are not valid directions.",
            "Check that it is the file for this editor.",
        )
    fingerprint = np.asarray(found["fingerprint"], np.uint8).tobytes().decode()
    return IdentityDirections(
        rows,
        mean,
        spread,
        CELEBA,
        lengths,
        part_lengths,
        fingerprint,
        motion if landmarks else None,
    )


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")
