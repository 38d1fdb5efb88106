"""Tests of voice measurements: a perfect voice, a late one, and the baselines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from thcli.core.events import Event, Finished
from thcli.core.options import VoiceOptions
from thcli.core.protocols import Speech
from thcli.core.types import Motion, Timestamps
from thcli.evaluate.benchmarks import speech
from thcli.evaluate.datasets import talking_clips
from thcli.motion.file.reader import MotionFile
from thcli.train.a2m import synthetic


class RepeatingVoice:
    """Voice that repeats the true motion `late` frames later."""

    motion_kind = "mesh"

    def __init__(self, motions: dict[int, Motion], late: int = 0) -> None:
        self._motions, self._late = iter(motions.values()), late

    def speak(
        self, speech: Speech, pts: Timestamps, time_base: Fraction, options: VoiceOptions
    ) -> Iterator[Motion]:
        motion = next(self._motions)
        rows = np.roll(np.asarray(motion.arrays["expression"]), self._late, axis=0)
        yield replace(motion, arrays={**motion.arrays, "expression": rows})


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("talks")
    synthetic.write_talking_clips(folder)
    return talking_clips.find_clips(folder)


def load_motions(found: list[tuple[Path, str]]) -> dict[int, Motion]:
    stores = [talking_clips.load_motion(path, None) for path, _ in found]
    assert all(isinstance(store, MotionFile) for store in stores)
    return {i: store.window(0, len(store)) for i, store in enumerate(stores)}


def measure_voice(found: list[tuple[Path, str]], late: int = 0) -> list[speech.ClipOpenings]:
    return speech.evaluate_voice(
        RepeatingVoice(load_motions(found), late), "parrot", found, None, VoiceOptions()
    )


def test_the_report_of_speaking_tells_its_seconds(found: list[tuple[Path, str]]) -> None:
    events: list[Event] = []
    voice = RepeatingVoice(load_motions(found))
    speech.evaluate_voice(voice, "parrot", found, None, VoiceOptions(), events.append)
    (finished,) = (event for event in events if isinstance(event, Finished))
    assert finished.done == len(found) and finished.seconds > 0


def test_a_perfect_voice_beats_the_trivial_answers(found: list[tuple[Path, str]]) -> None:
    clips = measure_voice(found)
    perfect, envelope, mean = (speech.scores(clips, row) for row in ("parrot", "envelope", "mean"))
    assert perfect.correlation == pytest.approx(1) and perfect.lag == 0 and perfect.in_step == 1
    assert 0.5 < envelope.correlation < 0.999
    assert mean.correlation == 0 and mean.in_step == 0 and mean.silent == pytest.approx(1)
    assert perfect.silent is not None and perfect.silent < 0.05


def test_the_lag_of_a_late_voice_is_found(found: list[tuple[Path, str]]) -> None:
    late = speech.scores(measure_voice(found, 3), "parrot")
    assert late.lag == 3 and late.in_step == 0 and late.correlation < 0.9


def test_report_and_table_name_every_speaker(found: list[tuple[Path, str]]) -> None:
    report = speech.report(measure_voice(found), "parrot")
    assert set(report["groups"]) == {"all", "speaker0", "speaker1"}
    assert report["groups"]["all"]["parrot"]["clips"] == 2
    heads, rows = speech.table(report)
    assert len(rows) == 9 and all(len(row) == len(heads) for row in rows)
