"""The voice of X2Face: changes of the code that follow the sound alone."""

from __future__ import annotations

import numpy as np
import pytest

from tests.voices.test_a2m import Sound, frames, syllables
from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions, VoiceOptions
from thcli.core.types import Array32
from thcli.voices.x2face import voice
from thcli.voices.x2face.embedding import EMBEDDING, embed_speech, silence

CODE = 8


def weight() -> Array32:
    return np.random.default_rng(0).standard_normal((CODE, EMBEDDING)).astype(np.float32)


def changes(sound: Sound, mouth: float = 1.0) -> Array32:
    made = voice.X2FaceVoice(weight(), RunOptions())
    windows = made.speak(sound, *frames(1.0), VoiceOptions(mouth=mouth))
    return np.concatenate([np.asarray(one.arrays["change"], np.float32) for one in windows])


def test_changes_are_linear_in_the_sound() -> None:
    sound = Sound(syllables(1.0, (0.2, 0.8)))
    rows = np.concatenate([part for _, part in embed_speech(sound, *frames(1.0))])
    assert rows.shape == (25, EMBEDDING) and silence().shape == (1, EMBEDDING)
    assert np.allclose(changes(sound), (rows - silence()) @ weight().T, atol=1e-3)
    assert np.allclose(changes(sound, 0.5), changes(sound) / 2, atol=1e-5)
    assert np.abs(rows[20] - rows[0]).max() > 0.1


def test_levels_of_silence_are_those_of_the_reference() -> None:
    rows = np.concatenate(
        [part for _, part in embed_speech(Sound(np.zeros(16000, np.float32)), *frames(1.0))]
    )
    bands = np.arange(EMBEDDING) % (EMBEDDING // 5) < 80
    assert np.allclose(rows[:, bands], silence()[:, bands], atol=1e-3)


def test_without_weights_the_command_is_named(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path_factory.mktemp("none")))
    with pytest.raises(WeightsError, match="x2face-audio"):
        voice.load(RunOptions(offline=True))
