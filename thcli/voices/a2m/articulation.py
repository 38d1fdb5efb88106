"""Closures of the lips as events: p, b and m shut them, f and v bring the lip to the teeth.

The mean over possible motions rarely closes the lips entirely, since nobody closes them at the same
instant. The network therefore tells when lips are shut as a logit of its own, to which the phones
that were recognised add theirs. Peaks become closures that last at least two frames of video.
"""

from __future__ import annotations

import numpy as np

from thcli.core.types import Array32
from thcli.voices.a2m.heard import smoothed_posterior

SHUT, TEETH = 0, 1  # columns of the closures
PHONES_OF = (("P", "B", "M"), ("F", "V"))  # phones that need each of them
EVIDENCE = (8.0, 8.0)  # added to the logit where such a phone is certain
THRESHOLDS = (0.7, 1.0)  # a peak of the logit above this is an event
LEAD = 3  # rows by which lips are shut before the phone is recognised: 0.06 s
SMOOTH = 5  # rows of sound over which the posteriors of phones are averaged
HOLD = 2  # rows to each side of a peak in which the closure is complete: 5 rows are 0.1 s
RAMP = (0.66, 0.33)  # share of the closure in the rows before and after
NEIGHBOURS = 3  # rows to each side that a peak exceeds
TEETH_OPENING = 0.4  # of the opening that is left while the lip is at the teeth
SOFTENED = 1.0  # rows, deviation of the bell that smooths the opening before closures are put in
REACH = LEAD + NEIGHBOURS + HOLD + len(RAMP) + 2  # rows to each side that a row may depend on


def close_lips(opening: Array32, logits: Array32, inputs: Array32) -> Array32:
    """Return the opening (T,) with closures in it.

    Args:
        opening: (T,) openings.
        logits: (T, 2) of the network.
        inputs: (T * AUDIO_STRIDE, INPUT_COLUMNS) of the network.
    """
    shut, teeth = (
        event_shares(logits[:, column] + EVIDENCE[column] * heard, THRESHOLDS[column])
        for column, heard in enumerate(heard_phones(inputs))
    )
    bell = np.exp(-0.5 * (np.arange(-NEIGHBOURS, NEIGHBOURS + 1) / SOFTENED) ** 2)
    soft = np.convolve(np.pad(opening, NEIGHBOURS, "edge"), bell / bell.sum(), "valid")
    return np.asarray(soft * (1 - shut) * (1 - (1 - TEETH_OPENING) * teeth), np.float32)


def heard_phones(inputs: Array32) -> list[Array32]:
    """Return the posteriors (T,) of the phones of each closure LEAD rows later, 0..1."""
    return [
        np.pad(smoothed_posterior(inputs, names, SMOOTH)[LEAD:], (0, LEAD)).astype(np.float32)
        for names in PHONES_OF
    ]


def event_shares(logits: Array32, threshold: float) -> Array32:
    """Return 0..1 (T,): 1 around each peak of the logits above the threshold, with soft edges."""
    padded = np.pad(logits, NEIGHBOURS, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBOURS + 1)
    peaks = (logits >= windows.max(1)) & (logits > threshold)
    half = np.concatenate([np.ones(HOLD + 1), RAMP])
    kernel = np.concatenate([half[:0:-1], half])
    reach = len(half) - 1
    spread = np.lib.stride_tricks.sliding_window_view(
        np.pad(peaks.astype(np.float64), reach), 2 * reach + 1
    )
    return np.asarray((spread * kernel).max(1), np.float32)
