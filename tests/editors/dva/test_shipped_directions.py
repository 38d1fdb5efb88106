"""The shipped directions on faces that nothing here learnt from: the London set's neutral and smiling pairs (CC BY 4.0)."""

from __future__ import annotations

import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from thcli.core.options import FaceOptions, RunOptions
from thcli.core.types import Array32, Face, Image
from thcli.editors.backends import EDITORS
from thcli.editors.dva.attributes import Directions, load_of
from thcli.evaluate.metrics.attribute_scores import judge
from thcli.faces.crops.align import ffhq
from thcli.faces.crops.crop import crop, moved
from thcli.pipeline.sources.source_image import FaceFinder

PERSONS = ("002", "007", "012", "017", "022", "027")
RUN = RunOptions(threads=1)
Seen = list[tuple[Image, Face]]


@pytest.fixture(scope="module")
def pairs(shared: Path) -> tuple[Seen, Seen]:
    """Neutral and smiling crops of six persons, with the face in each."""
    face_finder = FaceFinder.load(FaceOptions(), RUN)
    out: tuple[Seen, Seen] = ([], [])
    with tarfile.open(shared / "data" / "london.tar") as archive:
        members = {Path(member.name).name: member for member in archive.getmembers()}
        for person in PERSONS:
            for kind, place in (("neutral", out[0]), ("smiling", out[1])):
                file = archive.extractfile(members[f"london_{person}_{kind}.jpg"])
                assert file is not None
                picture = np.asarray(
                    cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR_RGB),
                    np.uint8,
                )
                face = max(face_finder.find(picture), key=lambda one: one.area)
                assert face.mesh is not None
                where = ffhq(face.mesh, 96)
                place.append((crop(picture, where), moved(face, where.crop_from_frame)))
    return out


def scored(directions: Directions, seen: Seen) -> Array32:
    editor = EDITORS.backend("dva-s").load(RUN)
    identities = editor.encode([one for one, _ in seen], [face for _, face in seen])[0]
    return directions.scores(identities)[:, directions.number("Smiling")]


def test_who_smiles_lies_further_along_the_direction_of_smiling(pairs: tuple[Seen, Seen]) -> None:
    directions = load_of("dva-s", RUN)
    neutral, smiling = (scored(directions, seen) for seen in pairs)
    assert (smiling > neutral).sum() >= 5, "of six persons"


def test_the_judge_sees_who_smiles(pairs: tuple[Seen, Seen]) -> None:
    neutral, smiling = (judge(RUN).score([one for one, _ in seen], "Smiling") for seen in pairs)
    assert (smiling > neutral).all() and smiling.mean() > 0.7 > 0.3 > neutral.mean()
