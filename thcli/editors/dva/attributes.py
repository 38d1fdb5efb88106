"""Identities moved along attributes: the rows of a linear classifier of the 40 attributes of CelebA (Kim et al. 2023, sec. 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt

from thcli.core.errors import UsageError
from thcli.core.options import RunOptions
from thcli.core.types import Array32
from thcli.editors.dva.arcface import LENGTH
from thcli.faces.backends.common import check_licence
from thcli.weights.tensors import load_tensors, require_keys

WEIGHTS = "dva-classifier"
CELEBA = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes",
    "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling",
    "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace",
    "Wearing_Necktie", "Young",
)  # fmt: skip
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Directions:
    """rows: (A, D) of the classifier, one for each of names.  mean, spread: (D,) of identities, which it knows normalised by them."""

    rows: Array32
    mean: Array32
    spread: Array32
    names: tuple[str, ...] = CELEBA

    def edited(self, identity: Array32, strengths: Mapping[str, float]) -> Array32:
        """The identity (D,) moved by so much along each attribute, of unit length. 0.25 is a usual strength; negative ones take away.

        Names are told apart neither by case nor by - and _.  Raises UsageError for an attribute that there is not.
        """
        moved = (identity - self.mean) / self.spread
        for name, strength in strengths.items():
            row = self.rows[self.number(name)]
            moved = moved + strength * np.sqrt(len(row)) * row / max(float(np.linalg.norm(row)), _TINY)
        return unit(moved * self.spread + self.mean)

    def edited_plainly(self, identity: Array32, strengths: Mapping[str, float]) -> Array32:
        """The same without normalising: neither the identity nor the rows (the published program's other form)."""
        steps = [strength * np.sqrt(len(identity)) * self.rows[self.number(n)] for n, strength in strengths.items()]
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
    rows, mean, spread = (np.asarray(found[name], np.float32) for name in ("classifier.weight", "conds_mean", "conds_std"))  # fmt: skip
    return Directions(rows, mean[0], spread[0])


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")
