"""How a voice is measured: a perfect one, a late one, one that never rests, and the trivial answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from thcli.core.options import VoiceOptions
from thcli.core.protocols import Speech
from thcli.core.types import Motion, Stamps
from thcli.evaluate.benchmarks import speech
from thcli.evaluate.datasets import talking_clips
from thcli.motion.file import MotionFile
from thcli.train.a2m import synthetic


class Parrot:
    """Says what the true face did, `late` frames later."""

    motion_kind = "mesh"

    def __init__(self, motions: dict[int, Motion], late: int = 0) -> None:
        self._motions, self._late = iter(motions.values()), late

    def speak(
        self, speech: Speech, pts: Stamps, time_base: Fraction, options: VoiceOptions
    ) -> Iterator[Motion]:
        motion = next(self._motions)
        rows = np.roll(np.asarray(motion.arrays["expression"]), self._late, axis=0)
        yield replace(motion, arrays={**motion.arrays, "expression": rows})


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("talks")
    synthetic.talking_clips(folder)
    return talking_clips.find(folder)


def motions(found: list[tuple[Path, str]]) -> dict[int, Motion]:
    stores = [talking_clips.motion_of(path, None) for path, _ in found]
    assert all(isinstance(store, MotionFile) for store in stores)
    return {i: store.window(0, len(store)) for i, store in enumerate(stores)}


def measured(found: list[tuple[Path, str]], late: int = 0) -> list[speech.Clip]:
    return speech.evaluate_voice(
        Parrot(motions(found), late), "parrot", found, None, VoiceOptions()
    )


def test_a_perfect_voice_beats_the_trivial_answers(found: list[tuple[Path, str]]) -> None:
    clips = measured(found)
    perfect, envelope, mean = (speech.scores(clips, row) for row in ("parrot", "envelope", "mean"))
    assert perfect.correlation == pytest.approx(1) and perfect.lag == 0 and perfect.in_step == 1
    assert 0.5 < envelope.correlation < 0.999
    assert mean.correlation == 0 and mean.in_step == 0 and mean.silent == pytest.approx(1)
    assert perfect.silent is not None and perfect.silent < 0.05


def test_a_late_voice_is_told_how_late(found: list[tuple[Path, str]]) -> None:
    late = speech.scores(measured(found, 3), "parrot")
    assert late.lag == 3 and late.in_step == 0 and late.correlation < 0.9


def test_report_and_table_name_every_speaker(found: list[tuple[Path, str]]) -> None:
    report = speech.report(measured(found), "parrot")
    assert set(report["groups"]) == {"all", "speaker0", "speaker1"}
    assert report["groups"]["all"]["parrot"]["clips"] == 2
    heads, rows = speech.table(report)
    assert len(rows) == 9 and all(len(row) == len(heads) for row in rows)
