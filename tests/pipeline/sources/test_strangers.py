"""Warnings of further pictures that show another person."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from thcli import media
from thcli.core.events import Warned
from thcli.core.options import ReadOptions
from thcli.core.protocols import IdentityEncoder
from thcli.core.types import Face, Identity, Image
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.sources.source_image import SourceImage, warn_of_strangers


@dataclass
class RedEncoder:
    """A fake encoder that tells persons by the first pixel of a picture."""

    same_person: float = 0.32

    def identify(self, image: Image, face: Face) -> Identity:
        vector = np.zeros(256, np.float32)
        vector[image[0, 0, 0]] = 1
        return Identity(vector, "red")


def warnings(portrait: Path, finder: FaceFinder, reds: tuple[int, ...]) -> list[str]:
    face = Face(np.array([0, 0, 8, 8], np.float32), 1.0)
    info = media.probe(portrait, ReadOptions())
    first, *others = (SourceImage(info, np.full((8, 8, 3), r, np.uint8), (face,)) for r in reds)
    seen: list[object] = []
    with Job("reenact", seen.append) as job:
        warn_of_strangers(first, others, finder, job)
    return [event.message for event in seen if isinstance(event, Warned)]


def test_a_picture_of_another_person_is_named(portrait: Path) -> None:
    finder = FaceFinder(cast(Any, None), cast(Any, None), cast(IdentityEncoder, RedEncoder()))
    assert not warnings(portrait, finder, (7,)) and not warnings(portrait, finder, (7, 7))
    (message,) = warnings(portrait, finder, (7, 7, 9))
    assert "does not seem to show the person" in message and "cosine 0.00" in message
    assert not warnings(portrait, replace(finder, identity=None), (7, 9))
