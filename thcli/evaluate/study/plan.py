"""Plan of a study: clips of several methods under blind names, and the questions about them.

The scales are those of the papers: real or fake (Diffused Heads, user study), and opinions of 1 to
5 on identity, lips and quality, or a preference between two methods (Real3D-Portrait).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from thcli import media
from thcli.core.errors import MediaError, UsageError
from thcli.core.options import StudyOptions

ENDINGS = (".mp4", ".webm", ".png", ".jpg", ".jpeg")
CODECS = ("h264", "vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "png", "jpeg")
ASPECTS: Mapping[str, tuple[str, str]] = {
    "identity": ("Is it the person of the picture beside it?", "Which shows the person better?"),
    "lips": ("Do the lips fit the sound?", "Which lips fit the sound better?"),
    "quality": ("How good is the picture?", "Which picture is better?"),
}
REAL = "real"
REAL_QUESTION = "Is this a real recording or a made one?"
FORMAT = "thcli study 1"


@dataclass(frozen=True, slots=True)
class StudyClip:
    """A clip of a study.

    code: its blind name, eight hexadecimal digits.
    method: folder that it is from. item: name of the file without its ending.
    """

    code: str
    method: str
    item: str
    path: Path


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a study.

    aspect: "real", or one of ASPECTS.
    clips: blind names of one clip, or of two to choose from.
    reference: blind name of the picture of the person; "" for none.
    """

    number: int
    aspect: str
    text: str
    clips: tuple[str, ...]
    reference: str = ""


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """Clips and questions of a study. truth: method whose clips are real; "" for none."""

    clips: Sequence[StudyClip]
    questions: Sequence[Question]
    truth: str

    def key(self) -> dict[str, Any]:
        """Return the JSON object that undoes the blind names."""
        clips = {clip.code: {"method": clip.method, "item": clip.item} for clip in self.clips}
        questions = [asdict(question) for question in self.questions]
        return {"format": FORMAT, "truth": self.truth, "clips": clips, "questions": questions}


def plan_study(folder: Path, options: StudyOptions) -> StudyPlan:
    """Plan the questions about a folder that has a folder of clips for each method.

    Clips of the same name in two folders are compared. A folder named `options.reference` holds
    pictures of the persons, with the clips' names; it is no method.

    Raises:
        MediaError: a clip cannot be shown by browsers, or there is none.
        UsageError: no clip can be asked about.
    """
    found = _find_clips(folder, options)
    methods = sorted({clip.method for clip in found} - {options.reference})
    by_place = {(clip.method, clip.item): clip for clip in found}
    items = sorted({clip.item for clip in found if clip.method != options.reference})
    asked: list[tuple[str, str, tuple[str, ...], str]] = []
    for item in items:
        shown = [by_place[method, item] for method in methods if (method, item) in by_place]
        pictured = by_place.get((options.reference, item))
        reference = pictured.code if pictured else ""
        if options.singles and options.truth in methods:
            asked += [(REAL, REAL_QUESTION, (clip.code,), "") for clip in shown]
        for aspect in options.aspects:
            alone, between = ASPECTS[aspect]
            if options.singles:
                asked += [(aspect, alone, (clip.code,), reference) for clip in shown]
            if options.pairs:
                for pair in combinations(shown, 2):
                    codes = tuple(clip.code for clip in pair)
                    asked.append((aspect, between, codes, reference))
    if not asked:
        raise UsageError(
            f"{folder} gives no questions.",
            "Two folders need clips of the same name, or --singles.",
        )
    questions = [Question(number, *question) for number, question in enumerate(asked)]
    return StudyPlan(found, questions, options.truth if options.truth in methods else "")


def _find_clips(folder: Path, options: StudyOptions) -> list[StudyClip]:
    if not folder.is_dir():
        raise MediaError(f"{folder} is not a folder.", "Give a folder with a folder per method.")
    draw = random.Random(options.seed)
    salt = draw.randbytes(16)
    clips = []
    for path in sorted(folder.glob("*/*")):
        if path.suffix.lower() not in ENDINGS or path.name.startswith("."):
            continue
        info = media.probe(path)
        if info.codec not in CODECS:
            raise MediaError(
                f"{path} is of the codec {info.codec}, which browsers do not show.",
                "Convert it to H.264 in .mp4.",
            )
        digest = hashlib.sha256(salt + str(path.relative_to(folder)).encode()).hexdigest()
        clips.append(StudyClip(digest[:8], path.parent.name, path.stem, path))
    if not clips:
        raise MediaError(f"{folder} has no clips.", f"Give METHOD/NAME with {', '.join(ENDINGS)}.")
    return clips
