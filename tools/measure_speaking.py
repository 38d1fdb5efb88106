"""Accuracy of --face speaking on pairs of talking persons of whom one is heard.

    python tools/measure_speaking.py INDEX.csv SPEAKER... --join 4 --motions FOLDER

The index has the columns file and speaker. Each clip of a speaker is compared with one of every
other speaker, with its own sound, as long as the shorter one. Clips in which nobody speaks are left
out, as the command refuses them. The sums of --join clips of a speaker are added, as those of the
windows of one longer clip are. Motion is observed into the folder when it is not there.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import thcli
from thcli.audio.voice_activity import detect_speech
from thcli.core.types import Array, Array32
from thcli.faces.tracking.select import SURE_MARGIN
from thcli.motion.file.reader import MotionFile
from thcli.pipeline.observe import active_speaker
from thcli.voices.a2m.sync import REACH, MouthMatcher


@dataclass(frozen=True)
class Clip:
    """Mouth at the times of the sound, 50 rows a second, sound, and speech of each window."""

    mouth: Array32
    sound: Array32
    speech: Array


def read_clip(path: Path, motions: Path, matcher: MouthMatcher) -> Clip | None:
    """Return a clip, None where nobody speaks; its motion is observed when it is not there."""
    kept = motions / f"{path.stem}.motion.safetensors"
    if not kept.exists():
        thcli.encode(path, kept)
    motion = MotionFile(kept)
    rows = motion.window(0, len(motion))
    seconds = rows.pts.astype(np.float64) * float(motion.time_base)
    recording, begin = active_speaker.record_span(path, float(seconds[0]), float(seconds[-1]))
    phrases = detect_speech(recording)
    if not len(phrases):
        return None
    sound = matcher.sound_rows(recording)
    times = begin + np.arange(len(sound)) / active_speaker.RATE
    seen = matcher.mouth_rows(rows.arrays["expression"][rows.valid])
    mouth = active_speaker.mouth_at(times, seconds[rows.valid], seen)
    return Clip(mouth, sound, active_speaker.speech_shares(phrases, len(sound)))


def compare(own: list[Clip], other: list[Clip], matcher: MouthMatcher) -> float:
    """Return by how much the speaker's mouths score higher than another's with the same sound."""
    totals, weight = np.zeros((2, 1)), 0.0
    for heard, silent in zip(own, other, strict=True):
        count = min(len(heard.sound), len(silent.sound))
        shares = heard.speech[: len(active_speaker.window_starts(count))]
        weight += float(shares.sum())
        curves = np.zeros((2, 2 * REACH + 1))
        for curve, mouth in zip(curves, (heard.mouth, silent.mouth), strict=True):
            curve += active_speaker.add_windows(mouth[:count], heard.sound[:count], shares, matcher)
        totals = totals + curves
    first, second = totals.max(1) / weight
    return float(first - second)


def main() -> None:
    """Print the accuracy over all pairs, and that of the pairs without a warning."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path)
    parser.add_argument("speakers", nargs="+")
    parser.add_argument("--join", type=int, default=1)
    parser.add_argument("--motions", type=Path, required=True)
    given = parser.parse_args()
    rows = list(csv.DictReader(given.index.read_text("utf-8").splitlines()))
    matcher = MouthMatcher(thcli.RunOptions(threads=1))
    persons = []
    for speaker in given.speakers:
        files = [given.index.parent / row["file"] for row in rows if row["speaker"] == speaker]
        read = [read_clip(path, given.motions, matcher) for path in files]
        clips = [clip for clip in read if clip is not None]
        sys.stdout.write(f"{speaker}: {len(clips)} of {len(read)} clips have speech\n")
        starts = range(0, len(clips) - given.join + 1, given.join)
        persons.append([clips[start : start + given.join] for start in starts])
    persons = [person for person in persons if person]
    if len(persons) < 2:
        parser.error("fewer than two speakers have enough clips")
    margins = np.array(
        [
            compare(own, other[number % len(other)], matcher)
            for person in persons
            for number, own in enumerate(person)
            for other in persons
            if other is not person
        ]
    )
    sure = np.abs(margins) >= SURE_MARGIN
    sys.stdout.write(f"{len(margins)} pairs: {np.mean(margins > 0):.3f} right\n")
    sys.stdout.write(
        f"{np.mean(sure):.2f} without a warning: {np.mean(margins[sure] > 0):.3f} right\n"
    )


if __name__ == "__main__":
    main()
