"""`thcli eval identity`: how well identity backends tell persons apart, over all pairs of a set of aligned faces."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli.core.errors import UsageError
from thcli.core.events import Finished, Listener, Started, Step, silent
from thcli.core.options import RunOptions
from thcli.core.protocols import IdentityEncoder
from thcli.core.types import Array32
from thcli.evaluate.datasets.persons import Person, people, read_face
from thcli.faces.backends import IDENTITIES

RATES = (0.01, 0.001, 0.0001)  # of strangers taken for one person
BINS = 20_000  # of the cosines, -1..1: pairs are counted, not kept
BATCH = 32
TIMED = 30  # single faces whose quickest is the time of one

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Separation:
    """Two histograms of cosines, BINS over -1..1: of pairs of one person, and of pairs of two. seconds: for one face by itself."""

    same: Counts
    different: Counts
    seconds: float = 0.0

    @property
    def auc(self) -> float:
        """The chance that a pair of one person has the higher cosine of the two: area under the ROC curve."""
        below = np.cumsum(self.different) - self.different / 2
        return float((self.same * below).sum() / max(self.same.sum() * self.different.sum(), 1))

    def threshold(self, rate: float) -> float:
        """The lowest cosine that at most `rate` of the pairs of two persons reach (FAR)."""
        above = np.cumsum(self.different[::-1])[::-1] / max(self.different.sum(), 1)
        return (
            float(_cosines()[int(np.argmax(above <= rate))] - 1 / BINS)
            if above[-1] <= rate
            else 1.0
        )

    def accepted(self, threshold: float) -> tuple[float, float]:
        """The parts of the pairs of one person (TAR), and of two (FAR), that reach a cosine."""
        reach = _cosines() > threshold
        return tuple(float(h[reach].sum() / max(h.sum(), 1)) for h in (self.same, self.different))  # type: ignore[return-value]  # two

    def report(self) -> dict[str, Any]:
        """For JSON."""
        rates = {}
        for rate in RATES:
            threshold = self.threshold(rate)
            rates[f"{rate:g}"] = {
                "tar": round(self.accepted(threshold)[0], 4),
                "threshold": round(threshold, 4),
            }
        (same, spread), (different, other) = _moments(self.same), _moments(self.different)
        return {
            "auc": round(self.auc, 5),
            "at_far": rates,
            "same": {"pairs": int(self.same.sum()), "mean": same, "spread": spread},
            "different": {"pairs": int(self.different.sum()), "mean": different, "spread": other},
            "ms_per_face": round(1000 * self.seconds, 3),
        }


def separation(vectors: Array32, persons: Sequence[int], seconds: float = 0.0) -> Separation:
    """Counts the cosines of all pairs of unit rows (N, D). persons: who each shows."""
    who = np.asarray(persons)
    same, different = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    for i in range(len(vectors) - 1):
        cells = np.clip(
            ((vectors[i + 1 :] @ vectors[i] + 1) * (BINS / 2)).astype(np.int64), 0, BINS - 1
        )
        alike = who[i + 1 :] == who[i]
        same += np.bincount(cells[alike], minlength=BINS)
        different += np.bincount(cells[~alike], minlength=BINS)
    return Separation(same, different, seconds)


@dataclass(frozen=True, slots=True)
class Verification:
    """A set of faces, judged by several backends."""

    persons: int
    pictures: int
    rows: Mapping[str, Separation]
    own: Mapping[str, float]  # backend -> the cosine that it takes for one person

    def report(self) -> dict[str, Any]:
        """For JSON."""
        rows = {}
        for name, found in self.rows.items():
            tar, far = found.accepted(self.own[name])
            own = {"threshold": self.own[name], "tar": round(tar, 4), "far": round(far, 6)}
            rows[name] = {**found.report(), "same_person": own}
        return {"persons": self.persons, "pictures": self.pictures, "rows": rows}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Heading and lines for people, a column a backend."""
        rows = list(self.report()["rows"].values())
        lines = [["ROC AUC", *(f"{row['auc']:.4f}" for row in rows)]]
        for rate in RATES:
            at = [row["at_far"][f"{rate:g}"] for row in rows]
            lines.append(
                [
                    f"TAR at FAR {rate:g} (cosine)",
                    *(f"{a['tar']:.3f} ({a['threshold']:.3f})" for a in at),
                ]
            )
        for kind, word in (("same", "one person"), ("different", "two persons")):
            lines.append(
                [
                    f"cosine of {word}",
                    *(f"{row[kind]['mean']:.3f} ± {row[kind]['spread']:.3f}" for row in rows),
                ]
            )
        own = [row["same_person"] for row in rows]
        lines.append(
            [
                "taken for one from",
                *(f"{o['threshold']:g}: TAR {o['tar']:.3f}, FAR {o['far']:.2g}" for o in own),
            ]
        )
        lines.append(["ms a face, one at a time", *(f"{row['ms_per_face']:.1f}" for row in rows)])
        lines.append(
            ["pairs", *(f"{row['same']['pairs']} and {row['different']['pairs']}" for row in rows)]
        )
        return [f"{self.persons} persons, {self.pictures} pictures", *self.rows], lines


def verify(
    folder: Path, backends: Mapping[str, IdentityEncoder], on: Listener = silent
) -> Verification:
    """Judges backends on FOLDER/PERSON/PICTURE. Raises MediaError for a folder or picture that cannot be used."""
    rows = people(folder)
    found = {name: _judged(name, encoder, rows, on) for name, encoder in backends.items()}
    return Verification(
        rows[-1].person + 1, len(rows), found, {name: e.same_person for name, e in backends.items()}
    )


def encoders(
    names: Sequence[str], own: Path | None, files: Sequence[Path], pixels: str, run: RunOptions
) -> dict[str, IdentityEncoder]:
    """The backends to be judged, by name; the default one when nothing is named.

    own: weights for identity-s.  files: ONNX networks.  pixels: their input, "imagenet" or "arcface".  Raises UsageError, WeightsError, DeviceError.
    """
    out: dict[str, IdentityEncoder] = {}
    for name in names or ([] if own or files else ["auto"]):
        picked = IDENTITIES.resolve(name, run)
        if not picked:
            raise UsageError(
                "No identity backend comes with --licence free.",
                "Name one with --identity (thcli list backends).",
            )
        out[picked] = IDENTITIES.backend(picked).load(run)
    if own is not None:
        from thcli.faces.identity.small import load_own

        out[own.name] = load_own(own, run)
    if files:
        from thcli.faces.identity.onnx import INPUTS, OnnxIdentity

        if pixels not in INPUTS:
            raise UsageError(f"--onnx-input must be one of {', '.join(INPUTS)}, not {pixels!r}.")
        out |= {path.name: OnnxIdentity(path, pixels, run.threads) for path in files}
    return out


def _judged(
    name: str, encoder: IdentityEncoder, rows: Sequence[Person], on: Listener
) -> Separation:
    began = time.perf_counter()
    on(Started(name, len(rows), "pictures"))
    parts: list[Array32] = []
    for start in range(0, len(rows), BATCH):
        parts.append(encoder.vectors([read_face(row.path) for row in rows[start : start + BATCH]]))
        on(Step(name, min(start + BATCH, len(rows))))
    one = [read_face(rows[0].path)]
    quickest = min(_timed(encoder, one) for _ in range(TIMED))
    on(Finished(name, len(rows), time.perf_counter() - began))
    return separation(np.concatenate(parts), [row.person for row in rows], quickest)


def _timed(encoder: IdentityEncoder, crops: Sequence[npt.NDArray[np.uint8]]) -> float:
    began = time.perf_counter()
    encoder.vectors(crops)
    return time.perf_counter() - began


def _cosines() -> npt.NDArray[np.float64]:
    """The middle of each bin."""
    return np.asarray((np.arange(BINS) + 0.5) * (2 / BINS) - 1, np.float64)


def _moments(counts: Counts) -> tuple[float, float]:
    """Mean and standard deviation of a histogram of cosines."""
    total = max(int(counts.sum()), 1)
    mean = float((counts * _cosines()).sum() / total)
    return round(mean, 4), round(
        float(np.sqrt((counts * (_cosines() - mean) ** 2).sum() / total)), 4
    )
