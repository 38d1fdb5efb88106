"""Phones: cepstra and scores of pocketsphinx, streaming, and long sounds in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.audio.sounds import noise, vowel
from thcli.audio import phones
from thcli.audio.cepstra import CEPSTRA, WINDOW, cepstra_blocks
from thcli.audio.phones import PHONES, SCORE, difference_features, load_model, phone_rows
from thcli.core.types import Array32

FORMANTS = [(750, 1250, 2500), (300, 2300, 3000), (350, 800, 2300), (500, 1000, 2500)]
LAST = (550, 1800, 2600)


def golden_sound() -> Array32:
    """Return five vowels with noise and near silence between them, of whole int16 levels."""
    parts = [vowel(np.linspace(150, 110, 4000), FORMANTS[0])]
    for number, formants in enumerate([*FORMANTS[1:], LAST]):
        parts.append(noise(0.1, 0.02 if number % 2 == 0 else 0.0005, seed=2 * number + 1))
        parts.append(vowel(np.linspace(150, 110, 4000), formants))
    levels = np.round(np.clip(np.concatenate(parts), -1, 1) * 20000)
    return (levels / 32768).astype(np.float32)


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(__file__).with_name("phones.json").read_text("utf-8"))
    return content


def test_cepstra_equal_pocketsphinx(golden: dict[str, Any]) -> None:
    rows = np.concatenate(list(cepstra_blocks([golden_sound()], WINDOW // 2)))
    expected = np.array(golden["cepstra"])
    assert expected.std() > 3
    assert np.abs(rows[golden["rows"]] - expected).max() < 2e-3


def test_scores_equal_pocketsphinx(golden: dict[str, Any]) -> None:
    """Scores agree within the rounding of three streams to whole steps."""
    rows = np.concatenate(list(cepstra_blocks([golden_sound()], WINDOW // 2)))
    rows = rows - np.array(golden["mean"], np.float32)
    features = difference_features(rows)
    chosen = np.array(golden["rows"]) - 3
    mine = load_model(offline=True).state_scores(features[chosen]).reshape(len(chosen), -1)
    expected = np.array(golden["scores"], np.float64)
    assert np.corrcoef(mine.ravel(), expected.ravel())[0, 1] > 0.9995
    assert np.abs(mine - expected).max() <= 6


def test_posteriors_name_noise_and_vowels() -> None:
    sound = golden_sound()
    rows = np.concatenate(list(phone_rows([sound], offline=True)))
    assert rows.shape == (-(-len(sound) // 160), len(PHONES)) and rows.dtype == np.float32
    assert np.allclose(np.exp(rows).sum(1), 1, atol=1e-4)
    best = [PHONES[i] for i in rows.argmax(1)]
    assert {"AA", "AH", "AO", "AW", "AE"} & set(best[5:20])
    assert {"IY", "Y", "IH", "EY"} & set(best[38:58])


def test_posteriors_do_not_depend_on_the_blocks() -> None:
    sound = np.tile(golden_sound(), 20)
    whole = np.concatenate(list(phone_rows([sound])))
    blocks = [sound[i : i + 7919] for i in range(0, len(sound), 7919)]
    assert np.array_equal(whole, np.concatenate(list(phone_rows(blocks))))


def test_an_hour_is_heard_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows follow the sound by at most the window of the mean, and only they are kept."""
    kept: list[int] = []

    def block_features(cepstra: Array32, first: int, count: int) -> Array32:
        kept.append(len(cepstra))
        return np.zeros((count, 3, CEPSTRA), np.float32)

    monkeypatch.setattr(phones, "_block_features", block_features)
    hour = (np.zeros((100, CEPSTRA), np.float32) for _ in range(3600))
    parts = phones._normalised_features(hour)
    assert sum(len(part) for part in parts) == 360_000
    assert max(kept) <= 2 * phones.MEAN_ROWS + 2 * phones.BLOCK_ROWS + 100


def test_rows_come_before_the_sound_ends() -> None:
    read: list[int] = []

    def endless() -> Iterator[Array32]:
        block = noise(1.0, 0.01)
        while True:
            read.append(1)
            yield block

    first = next(islice(phone_rows(endless()), 1))
    assert len(first) == phones.BLOCK_ROWS and len(read) < 20


def test_a_constant_gain_and_a_filter_of_the_microphone_hardly_matter() -> None:
    sound = golden_sound()
    rows, loud = (np.concatenate(list(phone_rows([sound * gain]))) for gain in (1, 0.25))
    assert (rows.argmax(1) == loud.argmax(1)).mean() > 0.8


def test_a_step_of_the_scores_is_a_tenth_of_a_nat() -> None:
    assert pytest.approx(0.1024, abs=1e-4) == SCORE
