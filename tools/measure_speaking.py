"""Accuracy of --face speaking on pairs of talking persons of whom one is heard.

    python tools/measure_speaking.py INDEX.csv SPEAKER... --join 4 --motions FOLDER

The index has the columns file and speaker. Clips of one speaker are joined by --join, which gives
longer ones; each is compared with those of every other speaker, with its own sound. Motion of the
clips is observed into the folder when it is not there.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import thcli
from thcli.audio.speech import Recording
from thcli.audio.voice_activity import detect_speech
from thcli.core.types import Array, Array32
from thcli.faces.tracking.select import SURE_MARGIN
from thcli.motion.file.reader import MotionFile
from thcli.pipeline.observe import active_speaker
from thcli.voices.a2m.sync import MouthMatcher


@dataclass(frozen=True)
class Clip:
    """Mouth and sound of a clip, 50 rows a second, and the share of speech of each window."""

    mouth: Array32
    sound: Array32
    speech: Array


def read_clip(path: Path, motions: Path, matcher: MouthMatcher) -> Clip:
    """Return a clip; its motion is observed when it is not in the folder."""
    kept = motions / f"{path.stem}.motion.safetensors"
    if not kept.exists():
        thcli.encode(path, kept)
    motion = MotionFile(kept)
    rows = motion.window(0, len(motion))
    seconds = (rows.pts - rows.pts[0]) * float(motion.time_base)
    mouth = matcher.mouth_rows(rows.arrays["expression"][rows.valid])
    recording = Recording(path)
    sound = matcher.sound_rows(recording)
    count = min(len(sound), int(seconds[-1] * active_speaker.RATE))
    at = np.arange(count) / active_speaker.RATE
    mouth = np.stack([np.interp(at, seconds[rows.valid], column) for column in mouth.T], 1)
    phrases = detect_speech(recording)
    shares = active_speaker.speech_shares(phrases, count)
    return Clip(mouth.astype(np.float32), sound[:count], shares)


def compare(own: list[Clip], other: list[Clip], matcher: MouthMatcher) -> float:
    """Return by how much the speaker's mouths score higher than another's with the same sound."""
    totals, weight = np.zeros((2, 1)), 0.0
    for heard, silent in zip(own, other, strict=True):
        count = min(len(heard.sound), len(silent.mouth))
        shares = heard.speech[: len(active_speaker.window_starts(count))]
        weight += float(shares.sum())
        curves = [
            active_speaker.add_windows(mouth[:count], heard.sound[:count], shares, matcher)
            for mouth in (heard.mouth, silent.mouth)
        ]
        totals = totals + np.stack(curves)
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
        clips = [read_clip(path, given.motions, matcher) for path in files]
        clips = [clip for clip in clips if len(clip.sound) >= active_speaker.LEAST_SEEN]
        starts = range(0, len(clips) - given.join + 1, given.join)
        persons.append([clips[start : start + given.join] for start in starts])
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
