"""Analysis of the answers of a study: opinions, preferences and what was taken for real.

Intervals are of 95 %, from a bootstrap that draws persons first and then their answers (Efron and
Tibshirani, An Introduction to the Bootstrap, section 8.3), because answers of one person are alike.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thcli.core.errors import MediaError, UsageError
from thcli.core.text_files import read_csv, read_text
from thcli.evaluate.metrics.bootstrap import bootstrap
from thcli.evaluate.study.plan import FORMAT, REAL

SEED = 0
SCALE = ("1", "2", "3", "4", "5")
PREFERENCE = {"A": 1.0, "same": 0.5, "B": 0.0}
Groups = dict[tuple[str, str], list[tuple[str, float]]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with the ends of its interval, answers and persons."""

    mean: float
    low: float
    high: float
    answers: int
    persons: int


@dataclass(frozen=True, slots=True)
class StudyResult:
    """Estimates of a study: (aspect, row) -> estimate.

    opinions: row is a method; of 1 to 5, for the aspect "real" the share that was taken for real.
    preferences: row is "A > B"; share that preferred A, ties counted half.
    """

    opinions: Mapping[tuple[str, str], Estimate]
    preferences: Mapping[tuple[str, str], Estimate]

    def report(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {"opinions": _plain(self.opinions), "preferences": _plain(self.preferences)}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return heading and lines for people."""
        lines = []
        for kind, rows in (("opinion", self.opinions), ("preference", self.preferences)):
            for (aspect, row), found in rows.items():
                numbers = [f"{value:.3f}" for value in (found.mean, found.low, found.high)]
                lines.append([kind, aspect, row, *numbers, str(found.answers), str(found.persons)])
        return ["kind", "aspect", "row", "mean", "low", "high", "answers", "persons"], lines


def analyse(key_file: Path, answers: Sequence[Path]) -> StudyResult:
    """Analyse files of answers.

    Args:
        key_file: FOLDER.key.json of `thcli eval study`.
        answers: CSV files of the page.

    Raises:
        MediaError: a file cannot be read.
        UsageError: the key is no key, or a line of answers does not fit it.
    """
    key = _read_key(key_file)
    opinions: Groups = {}
    preferences: Groups = {}
    seen: set[tuple[str, int]] = set()
    for path in answers:
        for number, row in enumerate(_read_rows(path), 2):
            try:
                person, question = row["person"], key["questions"][int(row["question"])]
                place = (person, int(row["question"]))
                if place in seen:
                    raise ValueError("the same person answered it before")
                seen.add(place)
                _count(key, question, row, opinions, preferences)
            except (KeyError, IndexError, ValueError, TypeError) as exc:
                raise UsageError(
                    f"Line {number} of {path} does not fit the study: {exc}.",
                    "Give the answers of its own page.",
                ) from exc
    if not seen:
        raise UsageError("There are no answers.", "Give the CSV files that the page made.")
    draw = np.random.default_rng(SEED)
    return StudyResult(
        {place: _estimate(found, draw) for place, found in sorted(opinions.items())},
        {place: _estimate(found, draw) for place, found in sorted(preferences.items())},
    )


def _count(
    key: Mapping[str, Any],
    question: Mapping[str, Any],
    row: Mapping[str, str],
    opinions: Groups,
    preferences: Groups,
) -> None:
    """Add an answer to its group. Raises ValueError or KeyError for one that is not possible."""
    aspect, person, answer = question["aspect"], row["person"], row["answer"]
    methods = [key["clips"][code]["method"] for code in question["clips"]]
    if len(methods) == 1:
        if aspect == REAL:
            value = {"real": 1.0, "made": 0.0}[answer]
        elif answer in SCALE:
            value = float(answer)
        else:
            raise ValueError(f"{answer!r} is not on the scale")
        opinions.setdefault((aspect, methods[0]), []).append((person, value))
        return
    value = PREFERENCE[answer]
    if row["first"] not in question["clips"]:
        raise ValueError(f"{row['first']!r} is not a clip of the question")
    if row["first"] != question["clips"][0]:
        value = 1 - value
    preferences.setdefault((aspect, " > ".join(methods)), []).append((person, value))


def _estimate(found: Sequence[tuple[str, float]], draw: np.random.Generator) -> Estimate:
    persons = sorted({person for person, _ in found})
    groups = [np.array([value for who, value in found if who == person]) for person in persons]
    found_mean = bootstrap(groups, draw)
    count = sum(len(group) for group in groups)
    return Estimate(found_mean.mean, found_mean.low, found_mean.high, count, len(persons))


def _read_key(path: Path) -> dict[str, Any]:
    try:
        key = json.loads(read_text(path))
    except OSError as exc:
        raise MediaError(f"The key {path} cannot be read: {exc.strerror or exc}.") from exc
    except (ValueError, RecursionError):
        key = None
    if not isinstance(key, dict) or key.get("format") != FORMAT:
        raise UsageError(f"{path} is no key of a study.", "Give the file FOLDER.key.json.")
    return key


def _read_rows(path: Path) -> list[dict[str, str]]:
    try:
        return list(read_csv(path))
    except (OSError, ValueError, csv.Error) as exc:
        raise MediaError(f"The answers {path} cannot be read: {exc}.") from exc


def _plain(rows: Mapping[tuple[str, str], Estimate]) -> list[dict[str, Any]]:
    return [
        {
            "aspect": aspect,
            "row": row,
            "mean": round(found.mean, 4),
            "interval": [round(found.low, 4), round(found.high, 4)],
            "answers": found.answers,
            "persons": found.persons,
        }
        for (aspect, row), found in rows.items()
    ]
