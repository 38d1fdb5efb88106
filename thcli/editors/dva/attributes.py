"""Identities moved along attributes: the rows of a linear classifier of the 40 attributes of CelebA (Kim et al. 2023, sec. 3.3)."""

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
from thcli.faces.adapters.common import check_licence
from thcli.weights.tensors import load_tensors, require_keys

__all__ = ["CELEBA", "Directions", "load", "load_of", "load_own", "unit"]

WEIGHTS = "dva-classifier"
TRAINED = {
    "dva-s": "dva-s-attributes"
}  # editor -> its directions, which `thcli train attributes` made
USUAL = 0.25  # a usual strength of the published program
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Directions:
    """rows: (A, D) of the classifier, one for each of names.  mean, spread: (D,) of identities, which it knows normalised by them.

    lengths: (A,) how far strength 1 of `changed` goes along each row, in spreads; None for the published program's usual strength.
    units: the parts of an identity that are each of unit length.  fingerprint: of the editor whose identities these are, "" for any.
    """

    rows: Array32
    mean: Array32
    spread: Array32
    names: tuple[str, ...] = CELEBA
    lengths: Array32 | None = None
    units: tuple[int, ...] = ()
    fingerprint: str = ""

    def changed(self, identity: Array32, strengths: Mapping[str, float]) -> Array32:
        """The identity (D,) with so much more of each attribute, its parts of unit length: 1 is plainly visible, negative ones take away.

        Several add up.  Raises UsageError for an attribute that there is not.
        """
        moved = (identity - self.mean) / self.spread
        for name, strength in strengths.items():
            number = self.number(name)
            row = self.rows[number]
            length = USUAL * np.sqrt(len(row)) if self.lengths is None else self.lengths[number]
            moved = moved + strength * length * row / max(float(np.linalg.norm(row)), _TINY)
        parts = np.split(
            moved * self.spread + self.mean, np.cumsum(self.units or (len(moved),))[:-1]
        )
        return np.concatenate([unit(part) for part in parts])

    def edited(self, identity: Array32, strengths: Mapping[str, float]) -> Array32:
        """The identity (D,) moved by so much along each attribute, of unit length. 0.25 is a usual strength; negative ones take away.

        Names are told apart neither by case nor by - and _.  Raises UsageError for an attribute that there is not.
        """
        moved = (identity - self.mean) / self.spread
        for name, strength in strengths.items():
            row = self.rows[self.number(name)]
            moved = moved + strength * np.sqrt(len(row)) * row / max(
                float(np.linalg.norm(row)), _TINY
            )
        return unit(moved * self.spread + self.mean)

    def edited_plainly(self, identity: Array32, strengths: Mapping[str, float]) -> Array32:
        """The same without normalising: neither the identity nor the rows (the published program's other form)."""
        steps = [
            strength * np.sqrt(len(identity)) * self.rows[self.number(n)]
            for n, strength in strengths.items()
        ]
        return unit(identity + sum(steps, np.zeros_like(identity)))

    def scores(self, identities: Array32) -> Array32:
        """(N, D) identities -> (N, A) how much of each attribute they have along its direction, in spreads of an identity."""
        towards = self.rows / np.maximum(np.linalg.norm(self.rows, axis=1, keepdims=True), _TINY)
        return np.asarray((identities - self.mean) / self.spread @ towards.T, np.float32)

    def number(self, name: str) -> int:
        """Which row an attribute is. Raises UsageError that offers the nearest names."""
        known = {_plain(one): number for number, one in enumerate(self.names)}
        if _plain(name) in known:
            return known[_plain(name)]
        near = get_close_matches(_plain(name), known, n=3, cutoff=0.4) or sorted(known)
        raise UsageError(f"There is no attribute {name!r}.", f"Near it: {', '.join(near)}.")


def unit(identity: Array32) -> Array32:
    """Of unit length."""
    return np.asarray(identity / max(float(np.linalg.norm(identity)), _TINY), np.float32)


def load(run: RunOptions) -> Directions:
    """The published classifier, with the statistics that lie in its own file. Raises WeightsError when it is not here or is another one."""
    check_licence(WEIGHTS, run.licence)
    found = load_tensors(WEIGHTS, "numpy", offline=run.offline)
    count = len(CELEBA)
    wanted: dict[str, npt.NDArray[np.float64]] = {
        f"{prefix}classifier.weight": np.empty((count, LENGTH)) for prefix in ("", "ema_")
    }
    wanted |= {f"{prefix}classifier.bias": np.empty(count) for prefix in ("", "ema_")}
    wanted |= {name: np.empty((1, LENGTH)) for name in ("conds_mean", "conds_std")}
    require_keys(found, wanted, WEIGHTS)
    rows, mean, spread = (
        np.asarray(found[name], np.float32)
        for name in ("classifier.weight", "conds_mean", "conds_std")
    )
    return Directions(rows, mean[0], spread[0])


def load_of(editor: str, run: RunOptions) -> Directions:
    """The directions in the identities of an editor of that name. Raises UsageError when there are none for it, WeightsError."""
    if editor not in TRAINED:
        if editor != "dva":
            raise UsageError(
                f"The editor {editor} has no directions of attributes.",
                "thcli train attributes makes them.",
            )
        return load(run)
    check_licence(TRAINED[editor], run.licence)
    return _trained(load_tensors(TRAINED[editor], "numpy", offline=run.offline), TRAINED[editor])


def load_own(path: Path) -> Directions:
    """Directions as `thcli train attributes` writes them. Raises WeightsError."""
    return _trained(load_tensors(path, "numpy"), path.name)


def packed(directions: Directions) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of a file that `load_own` reads."""
    lengths = np.ones(len(directions.names)) if directions.lengths is None else directions.lengths
    return {
        "rows": directions.rows.astype(np.float16),
        "mean": directions.mean.astype(np.float32),
        "spread": directions.spread.astype(np.float32),
        "lengths": np.asarray(lengths, np.float32),
        "units": np.array(directions.units, np.int64),
        "fingerprint": np.frombuffer(directions.fingerprint.encode(), np.uint8),
    }


def _trained(found: Mapping[str, npt.NDArray[np.generic]], where: str) -> Directions:
    units = tuple(int(length) for length in found.get("units", np.zeros(0)))
    width, count = sum(units), len(CELEBA)
    wanted = {
        "rows": np.empty((count, width)),
        "mean": np.empty(width),
        "spread": np.empty(width),
        "lengths": np.empty(count),
        "units": np.empty(len(units)),
        "fingerprint": np.empty(16),
    }
    require_keys(found, wanted, where)
    rows, mean, spread, lengths = (
        np.asarray(found[name], np.float32) for name in ("rows", "mean", "spread", "lengths")
    )
    if (
        not all(np.isfinite(values).all() for values in (rows, mean, spread, lengths))
        or (spread <= 0).any()
    ):
        raise WeightsError(
            f"{where} holds numbers that are no directions.", "Is it the file for this editor?"
        )
    return Directions(
        rows,
        mean,
        spread,
        CELEBA,
        lengths,
        units,
        np.asarray(found["fingerprint"], np.uint8).tobytes().decode(),
    )


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")
