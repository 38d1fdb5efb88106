"""Tests of the bundled directions on unseen faces: the London set's neutral and smiling pairs (CC
BY 4.0).
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from thcli.core.options import FaceOptions, RunOptions
from thcli.core.types import Array32, Face, Image
from thcli.editors.backends import EDITORS
from thcli.editors.dva.attributes import IdentityDirections, load_for_editor
from thcli.editors.dva.small import SHAPE
from thcli.evaluate.metrics.attribute_scores import load_classifier
from thcli.faces.crops.align import ffhq
from thcli.faces.crops.crop import crop, transform_face
from thcli.pipeline.observe.face_finder import FaceFinder

PERSONS = ("002", "007", "012", "017", "022", "027")
RUN = RunOptions(threads=1)
FaceCrops = list[tuple[Image, Face]]


@pytest.fixture(scope="module")
def pairs(shared: Path) -> tuple[FaceCrops, FaceCrops]:
    """Return neutral and smiling crops of six persons, with the face in each."""
    face_finder = FaceFinder.load(FaceOptions(), RUN)
    out: tuple[FaceCrops, FaceCrops] = ([], [])
    with tarfile.open(shared / "data" / "london.tar") as archive:
        members = {Path(member.name).name: member for member in archive.getmembers()}
        for person in PERSONS:
            for kind, place in (("neutral", out[0]), ("smiling", out[1])):
                file = archive.extractfile(members[f"london_{person}_{kind}.jpg"])
                assert file is not None
                image = np.asarray(
                    cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR_RGB),
                    np.uint8,
                )
                face = max(face_finder.find(image), key=lambda one: one.area)
                assert face.mesh is not None
                where = ffhq(face.mesh, SHAPE.size)
                place.append((crop(image, where), transform_face(face, where.crop_from_frame)))
    return out


def smiling_scores(directions: IdentityDirections, seen: FaceCrops) -> Array32:
    editor = EDITORS.backend("dva-s").load(RUN)
    identities = editor.encode([one for one, _ in seen], [face for _, face in seen])[0]
    return directions.scores(identities)[:, directions.row_index("Smiling")]


def test_smiling_faces_score_higher_along_the_smiling_direction(
    pairs: tuple[FaceCrops, FaceCrops],
) -> None:
    directions = load_for_editor("dva-s", RUN)
    neutral, smiling = (smiling_scores(directions, seen) for seen in pairs)
    assert (smiling > neutral).sum() >= 5, "of six persons"


def test_the_classifier_separates_smiling_faces(pairs: tuple[FaceCrops, FaceCrops]) -> None:
    neutral, smiling = (
        load_classifier(RUN).score_attribute([one for one, _ in seen], "Smiling") for seen in pairs
    )
    assert (smiling > neutral).all() and smiling.mean() > 0.7 > 0.3 > neutral.mean()
