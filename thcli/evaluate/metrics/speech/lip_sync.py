"""LSE-D and LSE-C: distance and confidence of SyncNet between lips and sound (Prajwal et al. 2020).

The face is cropped as by the authors' program, from the boxes of our detector instead of S3FD's:
values compare with each other, and nearly with published ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.fft import dct
from scipy.signal import medfilt

from thcli import media
from thcli.audio.read import RATE, read_blocks
from thcli.core.device import resolve_device
from thcli.core.errors import MediaError, NoFaceError
from thcli.core.imaging import to_uint8
from thcli.core.options import ReadOptions, RunOptions
from thcli.core.types import Array, Array32, Face, Image
from thcli.evaluate.metrics.measure import Tracker
from thcli.evaluate.metrics.networks.syncnet import (
    COEFFICIENTS,
    FRAMES,
    ROWS,
    SIDE,
    WEIGHTS,
    SyncNet,
    build_syncnet,
    sync_distances,
)
from thcli.evaluate.metrics.regions import crop_square
from thcli.weights import check_licence, load_tensors

FPS = 25
REACH = 15  # frames by which the sound is shifted to each side
WINDOW, HOP, SPECTRUM, FILTERS = 400, 160, 512, 26  # samples; of python_speech_features
EMPHASIS, LIFTER = 0.97, 22
SMOOTH, SCALE = 13, 0.4  # frames of the median of the boxes; margin of the crop
BATCH = 16
LONGEST_STILL = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class LipSync:
    """Scores of a clip.

    Attributes:
        distance: LSE-D, lower is better.
        confidence: LSE-C, higher is better.
        frames: by which the sound is late at the best shift.
    """

    distance: float
    confidence: float
    frames: int


def load_syncnet(run: RunOptions) -> SyncNet:
    """Load SyncNet. Raises WeightsError without its weights or licence, DeviceError."""
    check_licence(WEIGHTS, run.licence)
    return build_syncnet(load_tensors(WEIGHTS, offline=run.offline), resolve_device(run.device))


def measure_clip(network: SyncNet, clip: Path, tracker: Callable[[], Tracker]) -> LipSync:
    """Measure a clip with sound, taken at 25 frames a second.

    Raises:
        MediaError: the clip has no sound or is shorter than half a second.
        NoFaceError: it shows no face.
    """
    blocks = [block * 32768 for block in read_blocks(clip, RATE)]
    cepstra = mel_cepstra(np.concatenate(blocks).astype(np.float64))
    faces = list(_face_crops(clip, tracker()))
    count = min(len(faces), (len(cepstra) - ROWS) // 4 + FRAMES) - FRAMES
    if count < FRAMES:
        raise MediaError(f"{clip} is too short for SyncNet.", "Give half a second or more.")
    device = next(network.parameters()).device
    mouths, sounds = [], []
    with torch.inference_mode():
        for start in range(0, count, BATCH):
            places = range(start, min(start + BATCH, count))
            pixels = np.stack([np.stack(faces[at : at + FRAMES], 1) for at in places])
            rows = np.stack([cepstra[4 * at : 4 * at + ROWS].T[None] for at in places])
            mouths.append(network.encode_mouths(torch.from_numpy(pixels).to(device).float()))
            sounds.append(network.encode_sound(torch.from_numpy(rows).to(device).float()))
        found = sync_distances(torch.cat(mouths), torch.cat(sounds), REACH).cpu().numpy()
    return scores_of(found)


def scores_of(distances: Array) -> LipSync:
    """Return the scores of the mean distances (31,) for each shift."""
    best = int(np.argmin(distances))
    least = float(distances[best])
    return LipSync(least, float(np.median(distances)) - least, REACH - best)


def _face_crops(clip: Path, track: Tracker) -> Iterator[Image]:
    """Yield (3, 224, 224) BGR uint8 for each frame, at 25 a second."""
    found = (track(image) for image in _frames_at_rate(clip))
    boxes = [np.full(4, np.nan) if face is None else _box(face) for face in found]
    known = np.isfinite(np.array(boxes)).all(1)
    if not known.any():
        raise NoFaceError(f"{clip} shows no face.", "Give a clip of a talking face.")
    table = np.array(boxes)
    at = np.arange(len(table))
    for column in table.T:
        column[:] = np.interp(at, at[known], column[known])
    size = min(SMOOTH, len(table) - 1 + len(table) % 2)
    smooth = np.stack([medfilt(column, size) for column in table.T], 1)
    # The clip is read once more, so that no frames are held but their crops.
    for image, (x0, y0, x1, y1) in zip(_frames_at_rate(clip), smooth, strict=True):
        half = max(x1 - x0, y1 - y0, 2) / 2
        centre = (x0 + x1) / 2, (y0 + y1) / 2 + half * SCALE
        crop = crop_square(image, (*centre, 2 * half * (1 + SCALE)), SIDE)
        yield np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2BGR).transpose(2, 0, 1), np.uint8)


def _box(face: Face) -> Array:
    return np.asarray(face.box, np.float64)


def _frames_at_rate(clip: Path) -> Iterator[Image]:
    with media.read(clip, ReadOptions()) as reader:
        yield from at_rate((float(f.pts * f.time_base), to_uint8(f.pixels)) for f in reader)


def at_rate(frames: Iterable[tuple[float, Image]]) -> Iterator[Image]:
    """Yield the frame that is shown at each 25th of a second since the first.

    Args:
        frames: seconds and pixels of each.

    Raises:
        MediaError: a frame is shown for longer than LONGEST_STILL.
    """
    start: float | None = None
    count = 0
    pending: Image | None = None
    last = 0.0
    for seconds, image in frames:
        start = seconds if start is None else start
        if pending is not None and seconds - last > LONGEST_STILL:
            raise MediaError(
                f"One frame of a clip is shown for {seconds - last:.0f} s.",
                "SyncNet measures lips that move: cut the clip there.",
            )
        last = seconds
        while pending is not None and count / FPS < seconds - start - 1e-6:
            yield pending
            count += 1
        pending = image
    if pending is not None:
        yield pending


def mel_cepstra(samples: Array) -> Array32:
    """Return (T, 13) cepstra, 100 a second, as python_speech_features with its defaults.

    Args:
        samples: (N,) at 16 kHz, in units of 16-bit integers.
    """
    signal = np.append(samples[:1], samples[1:] - EMPHASIS * samples[:-1])
    count = 1 + max(-(-(len(signal) - WINDOW) // HOP), 0)
    padded = np.pad(signal, (0, max((count - 1) * HOP + WINDOW - len(signal), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:count]
    power = np.abs(np.fft.rfft(frames, SPECTRUM)) ** 2 / SPECTRUM
    tiny = np.finfo(float).eps
    energy = power.sum(1)
    bands = power @ _triangles().T
    logs = np.log(np.where(bands == 0, tiny, bands))
    cepstra = dct(logs, type=2, axis=1, norm="ortho")[:, :COEFFICIENTS]
    cepstra *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / LIFTER)
    cepstra[:, 0] = np.log(np.where(energy == 0, tiny, energy))
    return np.asarray(cepstra, np.float32)


def _triangles() -> Array:
    """Return (26, 257) triangles between whole lines of the spectrum, even in mels."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, FILTERS + 2) / 2595) - 1)
    lines = np.floor((SPECTRUM + 1) * hertz / RATE).astype(int)
    bank = np.zeros((FILTERS, SPECTRUM // 2 + 1))
    for row, ((left, centre), (_, right)) in zip(
        bank, pairwise(list(pairwise(lines.tolist()))), strict=True
    ):
        row[left:centre] = (np.arange(left, centre) - left) / (centre - left)
        row[centre:right] = (right - np.arange(centre, right)) / (right - centre)
    return bank
