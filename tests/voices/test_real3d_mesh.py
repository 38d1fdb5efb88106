"""Voice real3d on the mesh engine: the linear map of expressions, motion, absent face model."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.faces.model3d.bfm.made_model import EYE_DISTANCE, made_model
from tests.golden import fill
from tests.voices import test_real3d
from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions, VoiceOptions
from thcli.core.protocols import MeshConvertibleVoice
from thcli.core.types import Array, Motion, Timestamps
from thcli.engines.backends import ENGINES
from thcli.faces.landmarks.topology import RIGID_WEIGHTS
from thcli.faces.model3d.bfm.convert import mesh_arrays
from thcli.faces.model3d.bfm.model import UNMATCHED_POINTS
from thcli.motion import closure
from thcli.motion.canonical import eye_openings, lip_gaps, neutral
from thcli.motion.sliders import load_slider_shapes
from thcli.voices.real3d import mesh_voice
from thcli.voices.real3d.mesh_voice import (
    MeshVoice,
    canonical_expressions,
    load_mesh_expressions,
)
from thcli.voices.real3d.networks import AudioToMotion
from thcli.weights.registry import registry
from thcli.weights.store import WeightsStore
from thcli.weights.tensors import load_tensors

RUN = RunOptions(device="cpu", seed=3)
AXES = np.array([1.0, -1.0, -1.0])
MATCHED = np.setdiff1d(np.arange(468), UNMATCHED_POINTS)


def arrays() -> tuple[Array, Array]:
    table = mesh_arrays(made_model())
    mean, expression = (np.asarray(table[f"mesh.{n}"], np.float64) for n in ("mean", "expression"))
    return mean, expression


def lips() -> Array:
    """Return a displacement (468, 3) of points that are not rigid, in the model's axes."""
    moved = np.zeros((468, 3))
    moved[[13, 14, 17, 0]] = [[0.01, 0.02, 0.03], [0, -0.1, 0.01], [0, -0.2, 0.05], [0, 0.03, 0]]
    return moved


def test_the_map_is_the_displacement_in_canonical_axes() -> None:
    """The made model is the neutral mesh in decimetres with y up, wherever it lies."""
    mean = arrays()[0]
    found = canonical_expressions(mean, lips()[..., None])
    np.testing.assert_allclose(found[0], lips() * AXES / EYE_DISTANCE, atol=1e-6)
    angle = 0.1
    turn = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    turned = canonical_expressions(2 * mean @ turn + 0.3, (2 * lips() @ turn)[..., None])
    np.testing.assert_allclose(turned, found, atol=1e-6)


def test_motion_of_the_whole_head_is_removed() -> None:
    """Translation, scaling and a small turn of the model leave the canonical mesh still."""
    mean = arrays()[0]
    about_y = np.cross([0.0, 1.0, 0.0], mean)
    rigid = np.stack([np.tile([0.1, 0.2, -0.1], (468, 1)), 0.05 * mean, about_y], -1)
    assert np.abs(canonical_expressions(mean, rigid)).max() < 1e-6
    mixed = canonical_expressions(mean, rigid[..., 2:] + lips()[..., None])
    np.testing.assert_allclose(mixed[0], lips() * AXES / EYE_DISTANCE, atol=1e-6)


def test_points_without_a_vertex_do_not_align_the_model() -> None:
    """Four of them are rigid points; wrong places of them change nothing elsewhere."""
    assert RIGID_WEIGHTS[list(UNMATCHED_POINTS)].any()
    mean, expression = arrays()
    wrong = mean.copy()
    wrong[list(UNMATCHED_POINTS)] = mean[0]
    np.testing.assert_allclose(
        canonical_expressions(wrong, expression)[:, MATCHED],
        canonical_expressions(mean, expression)[:, MATCHED],
        atol=1e-9,
    )


class JawVoice:
    """A voice of expressions whose coefficient 0 and blink grow with time."""

    motion_kind = "real3d"

    def speak(
        self, speech: object, pts: Timestamps, time_base: Fraction, options: VoiceOptions
    ) -> Iterator[Motion]:
        for part in np.array_split(np.arange(len(pts)), 2):
            expression = np.zeros((len(part), 64), np.float32)
            expression[:, 0] = part
            yield Motion(
                "real3d",
                pts[part],
                time_base,
                np.ones(len(part), np.bool_),
                {"expression": expression, "blink": (part / len(pts)).astype(np.float32)},
            )


def test_expressions_move_the_mesh() -> None:
    """Shapes are the neutral mesh plus the map's sum; lids close with the blink."""
    mean = arrays()[0]
    basis = np.zeros((64, 468, 3))
    basis[0] = canonical_expressions(mean, lips()[..., None])[0]
    pts = np.arange(6)
    voice = MeshVoice(JawVoice(), basis, RUN)
    windows = list(voice.speak(test_real3d.sound(1.0), pts, Fraction(1, 25), VoiceOptions()))
    assert {window.kind for window in windows} == {"mesh"} == {voice.motion_kind}
    np.testing.assert_array_equal(np.concatenate([w.pts for w in windows]), pts)
    moved = np.concatenate([np.asarray(w.arrays["expression"]) for w in windows])
    for frame in range(6):
        np.testing.assert_allclose(moved[frame, [17, 0]], frame * basis[0][[17, 0]], atol=1e-5)
    gaps = lip_gaps(neutral() + moved)[:, 4]
    assert (np.diff(gaps) > 0.05).all()
    openings = eye_openings(neutral() + moved)
    assert (np.diff(openings, axis=0) < 0).all()
    assert "rest" in windows[0].constants


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WeightsStore:
    """Return an empty cache, in which the mesh voice looks for the face model."""
    made = WeightsStore(tmp_path / "cache", registry())
    monkeypatch.setattr(mesh_voice, "load_tensors", partial(load_tensors, store=made))
    return made


def test_absent_face_model(store: WeightsStore) -> None:
    with pytest.raises(WeightsError, match="bfm") as caught:
        load_mesh_expressions(RUN)
    assert caught.value.exit_code == 5
    assert "thcli weights import bfm FOLDER" in caught.value.hint
    with pytest.raises(WeightsError, match="--licence free"):
        load_mesh_expressions(RunOptions(device="cpu", licence="free"))


def closing() -> Array:
    """Return how far the exact closing of lips and lids moves points, (468, 3)."""
    moved = neutral()[None].copy()
    closure.set_lips(moved, np.full((1, 9), 0.5))
    closure.set_lids(moved, neutral(), np.full((1, 2), 0.1))
    return np.asarray(np.abs(moved[0] - neutral()))


def test_the_voice_converts_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expressions of a network with random weights drive the mesh engine's kind of motion."""
    table = {key.removeprefix("mesh."): value for key, value in mesh_arrays(made_model()).items()}
    monkeypatch.setattr(mesh_voice, "load_tensors", lambda *names, **options: table)
    network = fill.network(AudioToMotion(), fill.state(AudioToMotion().state_dict(), 0))
    voice = test_real3d.voice(network)
    assert isinstance(voice, MeshConvertibleVoice)
    pts, base, options = np.arange(25), Fraction(1, 25), VoiceOptions(blink="none")
    converted = voice.as_mesh(RUN)
    (motion,) = converted.speak(test_real3d.sound(1.0), pts, base, options)
    (rows,) = voice.speak(test_real3d.sound(1.0), pts, base, options)
    coefficients = np.asarray(rows.arrays["expression"], np.float64)
    shapes = np.tensordot(coefficients, canonical_expressions(*arrays()), 1)
    # lips and lids are closed exactly, and idle motion moves the brows
    adjusted = closing() + np.abs(load_slider_shapes().brow)
    still = np.flatnonzero((adjusted < 1e-5).all(-1))
    assert len(still) > 200
    found = np.asarray(motion.arrays["expression"], np.float64)
    np.testing.assert_allclose(found[:, still], shapes[:, still], atol=1e-4)
    assert len(motion) == 25 and motion.kind == ENGINES.backend("mesh").load(RUN).motion_kind
