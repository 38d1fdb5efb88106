"""Looks of a source video's shots."""

from __future__ import annotations

import cv2
import numpy as np

from tests.engines.mesh import synthetic_faces as faces
from tests.engines.mesh.synthetic_faces import centred_mesh
from thcli.engines.mesh.eyes.reading import read_eyes
from thcli.engines.mesh.mouth import colours
from thcli.engines.mesh.mouth.shot_looks import LookSamples


def test_a_look_has_all_that_its_frames_show_of_the_eyes() -> None:
    """It lacked the share of the blur, so that blurred videos were painted as sharp ones."""
    mesh, every = centred_mesh(256, 256), np.ones(3, bool)
    samples = LookSamples(every, np.zeros(3), np.zeros((3, 3)), every, 3)
    readings = []
    for index, deviation in enumerate((3.0, 4.0, 5.0)):
        sharp = faces.render_face(mesh, 256, 256)
        image = np.asarray(cv2.GaussianBlur(sharp, (0, 0), deviation), np.uint8)
        samples.add(index, image, mesh)
        readings.append(read_eyes(image, mesh, colours.skin_tone(image, mesh)))
    assert samples.look(0).seen_eyes == readings[1]
    assert readings[1] is not None
    assert readings[1].share > 0
