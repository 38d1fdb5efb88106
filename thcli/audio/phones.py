"""Phones in a sound: posteriors of 42 English phones by pocketsphinx's acoustic model.

A phone has three states. A state's density is a product over three streams (cepstra, their
differences and second differences) of mixtures of 128 Gaussians that the states of a phone share
(phonetically tied mixtures). The model does not depend on the speaker and tells mouth shapes in
other languages too. Scores equal those of pocketsphinx (tests/audio/test_phones.py).

Source: pocketsphinx 5.1.1, src/ptm_mgau.c and src/feat; tools/make_phone_model.py converts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from thcli.audio.cepstra import CEPSTRA, cepstra_blocks
from thcli.core.types import Array32
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors, require_keys

WEIGHTS = "phones-en"
_NAMES = (
    "+NSN+ +SPN+ AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH "
    "SIL T TH UH UW V W Y Z ZH"
)
PHONES = tuple(_NAMES.split())
BASE, POWERS = 1.0001, 1024
SCORE = POWERS * np.log(BASE)  # nats of a step of pocketsphinx's scores
TEMPERATURE = 2.0  # of the posteriors: frames are not independent, scores too sure
MEAN_ROWS = 1000  # rows to each side over which the mean cepstrum is taken (10 s)
BLOCK_ROWS = 256  # rows evaluated at once
_GAUSSIANS = (len(PHONES), 3, 128, CEPSTRA)
_SHAPES = {
    "means": _GAUSSIANS,
    "variances": _GAUSSIANS,
    "weights": (len(PHONES), 3, *_GAUSSIANS[1:3]),
}
_BEST = 4  # Gaussians of a mixture that count
_WORST = 96  # limit of a Gaussian's distance from the best of its stream, in steps of SCORE
_REACH = 3  # rows to each side that the differences of cepstra need


def phone_rows(blocks: Iterable[Array32], offline: bool = False) -> Iterator[Array32]:
    """Yield log posteriors of the phones of a sound, 100 rows per second.

    The mean cepstrum is taken over MEAN_ROWS to each side, as far as the sound goes. The result
    does not depend on the blocks of the sound, and memory does not grow with its length.

    Args:
        blocks: (N,) float32 each, samples at 16 kHz.
        offline: forbid downloads.

    Returns:
        (T, len(PHONES)) float32 parts, row t at t / 100 seconds.

    Raises:
        WeightsError: the acoustic model is not installed.
    """
    model = load_model(offline)
    for features in _normalised_features(cepstra_blocks(blocks)):
        yield phone_posteriors(model, model.state_scores(features))


def _normalised_features(parts: Iterator[Array32]) -> Iterator[Array32]:
    """Yield the features (T, 3, CEPSTRA) of cepstra, less their running mean, in order."""
    pending = np.zeros((0, CEPSTRA), np.float32)
    before = 0  # rows in `pending` that are done
    for part in parts:
        pending = np.concatenate([pending, part])
        while len(pending) >= before + BLOCK_ROWS + MEAN_ROWS:
            yield _block_features(pending, before, BLOCK_ROWS)
            dropped = max(0, before + BLOCK_ROWS - MEAN_ROWS)
            pending, before = pending[dropped:], before + BLOCK_ROWS - dropped
    while before < len(pending):
        count = min(BLOCK_ROWS, len(pending) - before)
        yield _block_features(pending, before, count)
        before += count


def _block_features(cepstra: Array32, first: int, count: int) -> Array32:
    """Return the features of `count` rows from `first` on; others are context."""
    at = np.arange(first, first + count)
    begin, end = np.maximum(at - MEAN_ROWS, 0), np.minimum(at + MEAN_ROWS + 1, len(cepstra))
    heard = (cepstra[:, :1] >= 0).astype(np.float64)  # pocketsphinx leaves out rows without energy
    sums = np.concatenate(
        [np.zeros((1, CEPSTRA + 1)), np.cumsum(np.concatenate([heard * cepstra, heard], 1), 0)]
    )
    total = sums[end] - sums[begin]
    mean = total[:, :-1] / np.maximum(total[:, -1:], 1)
    rows = cepstra[np.clip(np.arange(first - _REACH, first + count + _REACH), 0, len(cepstra) - 1)]
    features = difference_features(rows)
    features[:, 0] -= mean
    return features


@dataclass(frozen=True, slots=True)
class PhoneModel:
    """Gaussians and mixture weights.

    Attributes:
        factors: (streams, phones, 26, 128) factors of squares and values, in steps of SCORE.
        offsets: (streams, phones, 1, 128).
        weights: (streams, phones, 128, states) mixture weights.
    """

    factors: Array32
    offsets: Array32
    weights: Array32

    def state_scores(self, features: Array32) -> Array32:
        """Return costs of the states, (T, phones, states), in steps of SCORE; the best has 0.

        Args:
            features: (T, streams, CEPSTRA) of `difference_features`.
        """
        total = np.zeros((), np.float32)
        for stream, (factors, offsets, weights) in enumerate(
            zip(self.factors, self.offsets, self.weights, strict=True)
        ):
            x = features[:, stream]
            densities = np.concatenate([x * x, x], 1) @ factors + offsets  # (phones, T, 128)
            kept = densities >= _nth_largest(densities, _BEST)
            distance = np.maximum(densities - densities.max((0, 2))[:, None], -_WORST)
            total = total - np.log((np.exp(distance * np.float32(SCORE)) * kept) @ weights)
        costs = total.swapaxes(0, 1) / np.float32(SCORE)
        return np.asarray(costs - costs.min((1, 2), keepdims=True), np.float32)


def _nth_largest(values: Array32, count: int) -> Array32:
    """Return the count-th largest of the last axis, which stays as 1."""
    left = values
    for _ in range(count - 1):
        left = np.where(left >= left.max(-1, keepdims=True), np.float32(-np.inf), left)
    return np.asarray(left.max(-1, keepdims=True))


@cache
def load_model(offline: bool = False) -> PhoneModel:
    """Load the model. Raises WeightsError when it is not installed."""
    tensors = load_tensors(WEIGHTS, "numpy", offline=offline)
    means, variances = (  # (streams, phones, Gaussians, CEPSTRA)
        tensors[name].astype(np.float64).swapaxes(0, 1) for name in ("means", "variances")
    )
    # pocketsphinx keeps precisions and determinants as whole powers of BASE
    squares = -np.trunc(0.5 / variances / np.log(BASE)) / POWERS
    determinants = np.trunc(-0.5 * np.log(2 * np.pi * variances) / np.log(BASE)).sum(-1) / POWERS
    factors = np.concatenate([squares, -2 * squares * means], -1).swapaxes(-1, -2)
    offsets = (squares * means**2).sum(-1) + determinants
    weights = np.exp(-SCORE * tensors["weights"].astype(np.float64)).transpose(2, 0, 3, 1)
    return PhoneModel(
        np.ascontiguousarray(factors, np.float32),
        np.ascontiguousarray(offsets[:, :, None], np.float32),
        np.ascontiguousarray(weights, np.float32),
    )


def difference_features(cepstra: Array32) -> Array32:
    """Return cepstra, their differences over 4 rows and second differences, (T, 3, CEPSTRA).

    Args:
        cepstra: (T + 6, CEPSTRA), with three rows before and after.
    """
    count = len(cepstra) - 2 * _REACH
    at = [cepstra[_REACH + shift : _REACH + shift + count] for shift in range(-3, 4)]
    return np.stack([at[3], at[5] - at[1], (at[6] - at[2]) - (at[4] - at[0])], 1)


def phone_posteriors(model: PhoneModel, scores: Array32) -> Array32:
    """Return log posteriors of the phones (T, phones), natural logarithm, at TEMPERATURE."""
    logits = -scores.min(2) * np.float32(SCORE / TEMPERATURE)
    logits -= logits.max(1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)), np.float32)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the model."""
    wanted = {name: np.empty(shape, np.uint8) for name, shape in _SHAPES.items()}
    require_keys(checkpoint.tensors(), wanted, checkpoint.name)
