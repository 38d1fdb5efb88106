"""Parts of the voice that are solved, not learnt: its linear filter and its amplitudes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from thcli.core.types import Array, Array32
from thcli.train.a2m.clips import TalkingClip
from thcli.voices.a2m.features import SOUND_COLUMNS, network_inputs, phone_inputs
from thcli.voices.a2m.mouth import lip_features
from thcli.voices.a2m.networks import AUDIO_STRIDE, CLOSURES, MouthNetwork

RIDGE = 30.0
MOST_FRAMES = 600  # of a speaker that count
ROWS_PER_SECOND = 50
MOST_GAIN = 2.5
OPENING_SHARE = 0.85  # of the opening's gain: closures of the lips make up for the rest
GAIN_STEP = 0.1
QUIET = 0.05  # least correlation, for outputs that the sound tells nothing about


def clip_inputs(clip: TalkingClip) -> Tensor:
    """Return the network's inputs of a clip, (1, T, INPUT_COLUMNS), T even."""
    rows = np.concatenate([network_inputs(clip.rows), phone_inputs(clip.phones)], 1)
    return torch.from_numpy(rows[: len(rows) // AUDIO_STRIDE * AUDIO_STRIDE])[None]


def rows_at_frames(clip: TalkingClip, rows: Array32) -> Array:
    """Return rows (T, C), ROWS_PER_SECOND, at the frames in which the face was seen."""
    at = np.clip(clip.seconds[clip.seen] * ROWS_PER_SECOND, 0, len(rows) - 1)
    low = np.minimum(at.astype(int), max(len(rows) - 2, 0))
    share = (at - low)[:, None]
    return np.asarray(rows[low] * (1 - share) + rows[np.minimum(low + 1, len(rows) - 1)] * share)


def fit_linear(network: MouthNetwork, clips: Sequence[TalkingClip]) -> None:
    """Solve the linear filter by ridge regression and freeze it.

    Closures are fitted as logits of 4 and -4.
    """
    conv = network.linear
    size = conv.in_channels * conv.kernel_size[0] + 1
    gram, moments = np.zeros((size, size)), np.zeros((size, conv.out_channels))
    frames: dict[str, int] = {}
    for clip in clips:
        frames[clip.speaker] = frames.get(clip.speaker, 0) + int(clip.seen.sum())
    for clip in clips:
        pooled = network.pool(clip_inputs(clip))[:, SOUND_COLUMNS:]
        unfolded = torch.nn.functional.unfold(
            pooled[:, :, None],
            (1, conv.kernel_size[0]),
            (1, conv.dilation[0]),
            (0, int(conv.padding[0])),
        )[0].T.numpy()
        context = rows_at_frames(clip, unfolded)
        context = np.concatenate([context, np.ones((len(context), 1))], 1)
        truth = clip.target[clip.seen].astype(np.float64)
        truth[:, -CLOSURES:] = 8 * truth[:, -CLOSURES:] - 4
        share = min(1.0, MOST_FRAMES / max(frames[clip.speaker], 1))
        gram += share * (context.T @ context)
        moments += share * (context.T @ truth)
    penalty = RIDGE * np.eye(size)
    penalty[-1, -1] = 1e-6
    solved = torch.from_numpy(np.linalg.solve(gram + penalty, moments).T).float()
    with torch.no_grad():
        conv.weight.copy_(solved[:, :-1].reshape(conv.weight.shape))
        assert conv.bias is not None
        conv.bias.copy_(solved[:, -1])
    conv.requires_grad_(False)


def set_amplitudes(network: MouthNetwork, clips: Sequence[TalkingClip], width: float) -> None:
    """Set mean, gain, deviation and unexplained share from clips of speakers.

    Deviations are those within a clip, the median over clips, so that lively speakers do not
    decide. The speakers should not have been trained on: outputs for those known by heart vary as
    much as the truth.

    Args:
        network: Its buffers are set.
        clips: Clips of the speakers.
        width: Most of their lips' width that the shapes are given.
    """
    outputs, truths = [], []
    with torch.inference_mode():
        for clip in (clip for clip in clips if clip.seen.any()):
            rows = network(clip_inputs(clip))[0, :, :-CLOSURES].float().numpy()
            outputs.append(rows_at_frames(clip, rows))
            truths.append(clip.target[clip.seen, :-CLOSURES].astype(np.float64))
    deviations, told = (np.stack([rows.std(0) for rows in parts]) for parts in (truths, outputs))
    products = np.stack(
        [((a - a.mean(0)) * (b - b.mean(0))).mean(0) for a, b in zip(outputs, truths, strict=True)]
    )
    correlation = products.sum(0) / np.maximum(
        np.sqrt((deviations**2).sum(0) * (told**2).sum(0)), 1e-9
    )
    gain = np.median(deviations / np.maximum(told, 1e-6), 0)
    gain[-1] *= OPENING_SHARE
    gain = limit_width(
        np.clip(gain, 1, MOST_GAIN),
        [rows[:, :-1] for rows in outputs],
        [rows[:, :-1] for rows in truths],
        lip_features(network.basis.double().numpy()),
        width,
    )
    for buffer, values in (
        (network.mean, np.concatenate(outputs).mean(0)),
        (network.gain, gain),
        (network.unexplained, 1 - np.clip(correlation, QUIET, 1) ** 2),
        (network.deviation, np.median(deviations, 0)),
    ):
        buffer.copy_(torch.from_numpy(values))


def limit_width(
    gain: Array,
    outputs: Sequence[Array],
    truths: Sequence[Array],
    features: Array,
    share: float,
) -> Array:
    """Lower the gain of one shape so that the lips' width varies `share` times as much as people's.

    Shapes that each have the deviation of people's can add up to wider motion, since outputs are
    more alike than truths. Of all lower gains that one is taken with which the width is nearest to
    that share and the protrusion to people's. Nothing changes where the width does not exceed that
    share.

    Args:
        gain: (K + 1,) of the shapes and the opening.
        outputs, truths: (F, K) of each clip.
        features: (2, K), see `lip_features`.
        share: of people's width.
    """
    products = [rows[:, None] * features for rows in outputs]  # (F, 2, K)
    true = np.stack([(rows @ features.T).std(0) for rows in truths])

    def ratios(tried: Array) -> Array:
        moved = np.stack([(rows @ tried[:-1]).std(0) for rows in products])
        ratio = np.median(moved / np.maximum(true, 1e-9), 0).clip(1e-9)
        return np.asarray(np.log(ratio) - [np.log(share), 0.0])

    best, least = gain, float(np.abs(ratios(gain)).sum())
    if ratios(gain)[0] <= 0:
        return gain
    for shape in range(len(gain) - 1):
        for value in np.arange(1.0, gain[shape], GAIN_STEP):
            tried = gain.copy()
            tried[shape] = value
            error = float(np.abs(ratios(tried)).sum())
            if error < least - 1e-9:
                best, least = tried, error
    return best
