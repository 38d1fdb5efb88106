"""`thcli eval identity`: verification by identity backends over all pairs of aligned faces."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
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
from thcli.evaluate.datasets.persons import PersonImage, list_persons, read_face
from thcli.faces.backends import IDENTITIES

RATES = (0.01, 0.001, 0.0001)  # false acceptance rates
BINS = 20_000  # of the cosines, -1..1; pairs are counted, not stored
BATCH = 32
TIMED = 30  # runs on a single face, of which the fastest counts

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Separation:
    """Histograms of the cosines of pairs, BINS over -1..1.

    same, different: pairs of one person and of two.
    seconds: for one face by itself.
    """

    same: Counts
    different: Counts
    seconds: float = 0.0

    @property
    def auc(self) -> float:
        """Return the area under the ROC curve.

        It is the probability that a pair of one person has the higher cosine.
        """
        below = np.cumsum(self.different) - self.different / 2
        return float((self.same * below).sum() / max(self.same.sum() * self.different.sum(), 1))

    def threshold(self, rate: float) -> float:
        """Return the lowest cosine that at most `rate` of the pairs of two persons reach (FAR)."""
        above = np.cumsum(self.different[::-1])[::-1] / max(self.different.sum(), 1)
        if above[-1] > rate:
            return 1.0
        return float(_cosines()[int(np.argmax(above <= rate))] - 1 / BINS)

    def accepted(self, threshold: float) -> tuple[float, float]:
        """Return the shares of pairs of one person (TAR) and of two (FAR) above a cosine."""
        above = _cosines() > threshold
        tar, far = (
            float(counts[above].sum() / max(counts.sum(), 1))
            for counts in (self.same, self.different)
        )
        return tar, far

    def report(self) -> dict[str, Any]:
        """Return all values for JSON."""
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


def cosine_histograms(vectors: Array32, persons: Sequence[int], seconds: float = 0.0) -> Separation:
    """Count the cosines of all pairs of unit rows (N, D).

    Args:
        vectors: unit rows.
        persons: person of each row.
        seconds: for one face.
    """
    numbers = np.asarray(persons)
    same, different = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    for i in range(len(vectors) - 1):
        cosines = vectors[i + 1 :] @ vectors[i]
        bins = np.clip(((cosines + 1) * (BINS / 2)).astype(np.int64), 0, BINS - 1)
        alike = numbers[i + 1 :] == numbers[i]
        same += np.bincount(bins[alike], minlength=BINS)
        different += np.bincount(bins[~alike], minlength=BINS)
    return Separation(same, different, seconds)


@dataclass(frozen=True, slots=True)
class Verification:
    """Results of several backends on one set of faces.

    own: backend -> cosine above which it accepts one person.
    """

    persons: int
    images: int
    rows: Mapping[str, Separation]
    own: Mapping[str, float]

    def report(self) -> dict[str, Any]:
        """Return all values for JSON."""
        rows = {}
        for name, found in self.rows.items():
            tar, far = found.accepted(self.own[name])
            own = {"threshold": self.own[name], "tar": round(tar, 4), "far": round(far, 6)}
            rows[name] = {**found.report(), "same_person": own}
        return {"persons": self.persons, "pictures": self.images, "rows": rows}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return heading and lines, a column per backend."""
        rows = list(self.report()["rows"].values())
        lines: list[list[str]] = []

        def add(name: str, cell: Callable[[dict[str, Any]], str]) -> None:
            lines.append([name, *(cell(row) for row in rows)])

        def at_far(rate: float) -> Callable[[dict[str, Any]], str]:
            key = f"{rate:g}"
            return lambda r: f"{r['at_far'][key]['tar']:.3f} ({r['at_far'][key]['threshold']:.3f})"

        def at_own(row: dict[str, Any]) -> str:
            own = row["same_person"]
            return f"{own['threshold']:g}: TAR {own['tar']:.3f}, FAR {own['far']:.2g}"

        add("ROC AUC", lambda r: f"{r['auc']:.4f}")
        for rate in RATES:
            add(f"TAR at FAR {rate:g} (cosine)", at_far(rate))
        add(
            "cosine of one person", lambda r: f"{r['same']['mean']:.3f} ± {r['same']['spread']:.3f}"
        )
        add(
            "cosine of two persons",
            lambda r: f"{r['different']['mean']:.3f} ± {r['different']['spread']:.3f}",
        )
        add("accepted from cosine", at_own)
        add("ms per face, one at a time", lambda r: f"{r['ms_per_face']:.1f}")
        add("pairs", lambda r: f"{r['same']['pairs']} and {r['different']['pairs']}")
        return [f"{self.persons} persons, {self.images} images", *self.rows], lines


def verify(
    folder: Path, backends: Mapping[str, IdentityEncoder], on: Listener = silent
) -> Verification:
    """Evaluate backends on FOLDER/PERSON/IMAGE.

    Raises MediaError for an unusable folder or image.
    """
    rows = list_persons(folder)
    found = {name: _evaluate(name, encoder, rows, on) for name, encoder in backends.items()}
    thresholds = {name: encoder.same_person for name, encoder in backends.items()}
    return Verification(rows[-1].person + 1, len(rows), found, thresholds)


def encoders(
    names: Sequence[str], own: Path | None, files: Sequence[Path], pixels: str, run: RunOptions
) -> dict[str, IdentityEncoder]:
    """Load the backends to evaluate, by name; the default one when nothing is named.

    Args:
        names: backends.
        own: weights for identity-s, or None.
        files: ONNX networks.
        pixels: their input, "imagenet" or "arcface".
        run: device and licence.

    Raises:
        UsageError: for an unknown name or input.
        WeightsError: for missing or invalid weights.
        DeviceError: when the device is not available.
    """
    out: dict[str, IdentityEncoder] = {}
    for name in names or ([] if own or files else ["auto"]):
        picked = IDENTITIES.resolve(name, run)
        if not picked:
            raise UsageError(
                "No identity backend is the default with --licence free.",
                "Name one with --identity (thcli list backends).",
            )
        out[picked] = IDENTITIES.backend(picked).load(run)
    if own is not None:
        from thcli.faces.identity.small import load_file

        out[own.name] = load_file(own, run)
    if files:
        from thcli.faces.identity.onnx import INPUT_NORMALIZATION, OnnxIdentity

        if pixels not in INPUT_NORMALIZATION:
            raise UsageError(
                f"--onnx-input must be one of {', '.join(INPUT_NORMALIZATION)}, not {pixels!r}."
            )
        out |= {path.name: OnnxIdentity(path, pixels, run.threads) for path in files}
    return out


def _evaluate(
    name: str, encoder: IdentityEncoder, rows: Sequence[PersonImage], on: Listener
) -> Separation:
    began = time.perf_counter()
    on(Started(name, len(rows), "images"))
    parts: list[Array32] = []
    for start in range(0, len(rows), BATCH):
        crops = [read_face(row.path) for row in rows[start : start + BATCH]]
        parts.append(encoder.encode_crops(crops))
        on(Step(name, min(start + BATCH, len(rows))))
    single = [read_face(rows[0].path)]
    fastest = min(_time_once(encoder, single) for _ in range(TIMED))
    on(Finished(name, len(rows), time.perf_counter() - began))
    return cosine_histograms(np.concatenate(parts), [row.person for row in rows], fastest)


def _time_once(encoder: IdentityEncoder, crops: Sequence[npt.NDArray[np.uint8]]) -> float:
    began = time.perf_counter()
    encoder.encode_crops(crops)
    return time.perf_counter() - began


def _cosines() -> npt.NDArray[np.float64]:
    """Return the middle of each bin."""
    return np.asarray((np.arange(BINS) + 0.5) * (2 / BINS) - 1, np.float64)


def _moments(counts: Counts) -> tuple[float, float]:
    """Return mean and standard deviation of a histogram of cosines."""
    total = max(int(counts.sum()), 1)
    mean = float((counts * _cosines()).sum() / total)
    variance = (counts * (_cosines() - mean) ** 2).sum() / total
    return round(mean, 4), round(float(np.sqrt(variance)), 4)
