"""Tests of voice measurements: a perfect voice, a late one, and the baselines."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from thcli.core.errors import MediaError, UsageError
from thcli.core.events import Event, Finished
from thcli.core.options import VoiceOptions
from thcli.core.protocols import Speech
from thcli.core.types import Motion, Timestamps
from thcli.evaluate.benchmarks.voices import speech, spoken_videos, talking_heads
from thcli.evaluate.datasets import talking_clips
from thcli.evaluate.metrics.speech.lip_sync import LipSync
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


def test_a_voice_that_repeats_the_talkers_is_as_lively(found: list[tuple[Path, str]]) -> None:
    voice = RepeatingVoice(load_motions(found))
    clips = talking_heads.evaluate_heads(voice, found, None, VoiceOptions())
    content = talking_heads.report(clips, "parrot")
    rows = content["groups"]["all"]
    assert rows["truth"] == rows["parrot"] and rows["truth"]["clips"] == len(found)
    heads, lines = talking_heads.table(content)
    assert {len(line) for line in lines} == {len(heads)}
    assert len(lines) == 2 * len(content["groups"])


def test_clips_without_a_face_cannot_be_measured(
    found: list[tuple[Path, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talking_heads, "measure_liveliness", lambda motion: None)
    with pytest.raises(MediaError, match="No clip shows a face"):
        talking_heads.evaluate_heads(
            RepeatingVoice(load_motions(found)), found, None, VoiceOptions()
        )


def test_speakers_are_chosen_by_name(found: list[tuple[Path, str]]) -> None:
    folder, speaker = found[0][0].parent, found[0][1]
    chosen = talking_clips.clips_of_speakers(folder, [speaker])
    assert chosen == [pair for pair in found if pair[1] == speaker]
    with pytest.raises(UsageError, match="None of the speakers"):
        talking_clips.clips_of_speakers(folder, ["nobody"])


def copy_results(found: list[tuple[Path, str]], folder: Path, shift: int) -> Path:
    """Copy clips with their motions to a folder, each under the name of the next by `shift`.

    The motions are read in place of the videos, whose content is that of the sound.
    """
    folder.mkdir()
    for number, (path, _) in enumerate(found):
        other = found[(number + shift) % len(found)][0]
        for file in other.parent.glob(f"{other.stem}.*"):
            name = file.name.replace(other.stem, path.stem)
            shutil.copy(file, (folder / name).with_suffix(file.suffix.replace(".wav", ".mp4")))
    return folder


def test_finished_videos_are_measured_beside_the_clips(
    found: list[tuple[Path, str]], tmp_path: Path
) -> None:
    same = spoken_videos.evaluate_results(found, copy_results(found, tmp_path / "same", 0), None)
    other = spoken_videos.evaluate_results(found, copy_results(found, tmp_path / "other", 1), None)
    right, wrong = (
        one.report()["mouths"]["groups"]["all"][spoken_videos.RESULT] for one in (same, other)
    )
    assert right["correlation"] == 1 and right["closure_f1"] == 1
    assert wrong["correlation"] < 0.8
    heads = same.report()["groups"]["all"]
    assert heads["truth"] == heads[spoken_videos.RESULT]
    assert len(same.tables()) == 2
    sounds = found[0][0].parent
    with pytest.raises(MediaError, match="holds no video named"):
        spoken_videos.evaluate_results(found, sounds, None)


def test_sync_of_clips_and_results_is_averaged(
    found: list[tuple[Path, str]], tmp_path: Path
) -> None:
    results = copy_results(found, tmp_path / "results", 0)

    def measure(path: Path) -> LipSync:
        return LipSync(7.0, 8.0, 0) if path.parent == results else LipSync(6.0, 9.0, 1)

    values, (head, lines) = spoken_videos.measure_sync(found, results, measure)
    assert lines == [["truth", "2", "6.000", "9.000"], ["result", "2", "7.000", "8.000"]]
    assert len(head) == 4 and values["truth"][found[0][0].name]["frames"] == 1
    alone, _ = spoken_videos.measure_sync(found, None, measure)
    assert list(alone) == ["truth"]
    equal = [(tmp_path / name / "a.mp4", name) for name in ("x", "y")]
    values, (_, lines) = spoken_videos.measure_sync(equal, None, measure)
    assert set(values["truth"]) == {str(path) for path, _ in equal} and lines[0][1] == "2"


def test_nearest_rows_with_a_face_are_taken(found: list[tuple[Path, str]]) -> None:
    motion = load_motions(found)[0]
    valid = np.ones(len(motion.pts), bool)
    valid[3] = False
    times = spoken_videos.seconds_of(motion)
    shapes = spoken_videos.shapes_at(replace(motion, valid=valid), times)
    own = speech.mouth_shapes(motion)
    np.testing.assert_array_equal(shapes[[0, 2, 5]], own[[0, 2, 5]])
    assert (shapes[3] == own[2]).all() or (shapes[3] == own[4]).all()
    with pytest.raises(MediaError, match="no face"):
        spoken_videos.shapes_at(replace(motion, valid=~valid & False), times)


@pytest.mark.parametrize("count", [1, 2, 40])
def test_the_nearest_row_is_that_of_all_distances(count: int) -> None:
    """Also outside of the rows, and of two at one distance the earlier."""
    generator = np.random.default_rng(count)
    times = np.cumsum(generator.integers(1, 4, count)) / 4
    seconds = np.concatenate([generator.uniform(-2, times[-1] + 2, 200), np.arange(0, 20, 0.125)])
    distances = np.abs(seconds[:, None] - times)
    np.testing.assert_array_equal(spoken_videos.nearest_rows(times, seconds), distances.argmin(1))
