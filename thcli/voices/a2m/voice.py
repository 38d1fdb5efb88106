"""`a2m-s`: a sound to the motion of a face that says it, for the mesh engine (and whatever reads motion of kind "mesh")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from thcli.audio.features import heard
from thcli.audio.resample_rows import WINDOW, windows
from thcli.audio.voice_activity import spoken
from thcli.core.device import resolve
from thcli.core.imaging import smoothstep
from thcli.core.options import RunOptions, VoiceOptions
from thcli.core.protocols import Speech
from thcli.core.types import Array, Array32, Motion, Stamps
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.motion import sliders
from thcli.motion.observe import KIND
from thcli.voices.a2m import pose
from thcli.voices.a2m.features import inputs, silence
from thcli.voices.a2m.mouth import Shapes
from thcli.voices.a2m.networks import HEARD, LATENT, REACH, STRIDE, WIDTH, Speaker
from thcli.weights.tensors import load_tensors

ROWS = Fraction(50)  # of motion a second
CHUNK = 512  # rows that the network gives at a time, always the same ones: nothing depends on how the sound comes
OPENS, CLOSES = (
    (0.40, 0.12),
    (0.05, 0.30),
)  # seconds before speech in which lips may part, and after it in which they close
TEMPERATURE = 0.3
BLINKS = 60 / sliders.BLINK_EVERY  # a minute


class A2M:
    """A Voice. Stateless between calls. networks: what they say is averaged."""

    motion_kind = KIND

    def __init__(self, networks: Sequence[Speaker], run: RunOptions) -> None:
        self._device = resolve(run.device)
        self._networks = [network.eval().to(self._device) for network in networks]
        self._seed = run.seed
        bases = [network.basis.float().cpu().numpy() for network in networks]
        self._shapes = Shapes(np.concatenate(bases), 1.0)

    def speak(
        self, speech: Speech, pts: Stamps, time_base: Fraction, options: VoiceOptions
    ) -> Iterator[Motion]:
        """See `Voice`. Constants: those of kind "mesh", and `rest`, the pose from which the head moves. Raises MediaError for the file of --pose."""
        stretches = spoken(speech)
        head = pose.head(options, self._seed, lambda seconds: speaking(stretches, seconds))
        rate = options.blinks_a_minute(BLINKS)
        length = float(pts[-1] * time_base) + 1 if len(pts) else 0.0
        times = sliders.blink_times(length, self._seed, 60 / rate) if rate else []
        temperature = TEMPERATURE if options.temperature is None else options.temperature
        rows = self.rows(speech, temperature)
        for chosen, window in windows(rows, ROWS, pts, time_base, size=WINDOW):
            stamps = pts[chosen]
            seconds = np.asarray(stamps * float(time_base), np.float64)
            near = [t for t in times if seconds[0] - 1 < t < seconds[-1] + 1]
            blink = sliders.blinks(seconds, near)
            said = window.at(stamps, time_base) * gate(stretches, seconds)[:, None].astype(
                np.float32
            )
            yield head.motion(self._shapes.faces(said, options.mouth), blink, stamps, time_base)

    def rows(self, speech: Speech, temperature: float) -> Iterator[Array32]:
        """(CHUNK, K + 1) rows of the mouth, ROWS a second, in their order; the last are cut where the sound ends.

        The coefficients of all networks' shapes, then the opening in canonical units.
        """
        for number, (part, count) in enumerate(_chunks(inputs(rows) for rows in heard(speech))):
            noise = np.concatenate([self._noise(number + k) for k in (-1, 0, 1)], 1)
            from_, to = CHUNK - REACH, 2 * CHUNK + REACH
            noise = noise[:, from_ // STRIDE : to // STRIDE] * np.float32(temperature)
            heard_, drawn = (
                torch.from_numpy(array)[None].to(self._device) for array in (part, noise)
            )
            said = [
                _said(network, heard_, drawn, temperature)[REACH : REACH + count]
                for network in self._networks
            ]
            opening = np.mean([rows[:, -1] for rows in said], 0)
            shapes = [rows[:, :-1] / len(said) for rows in said]
            yield np.column_stack([*shapes, opening]).astype(np.float32)

    def _noise(self, chunk: int) -> Array32:
        """(LATENT, CHUNK / STRIDE) of one chunk: it follows from the seed and the place alone."""
        return np.random.default_rng([self._seed, 10, chunk + 1]).standard_normal(
            (LATENT, CHUNK // STRIDE), np.float32
        )


def _said(network: Speaker, heard_: Tensor, noise: Tensor, temperature: float) -> Array32:
    """(T / HEARD, K + 1) rows of one network, made up for what the mean of many truths loses; the opening in canonical units."""
    with torch.inference_mode():
        rows = network(heard_, noise)[0].float().cpu().numpy()
    rows = rows * np.float32(1 + (float(network.gain) - 1) * max(0.0, 1 - temperature))
    rows[:, -1] *= np.float32(network.unit)
    return np.asarray(rows, np.float32)


def _chunks(parts: Iterator[Array32]) -> Iterator[tuple[Array32, int]]:
    """Inputs (HEARD * (CHUNK + 2 REACH), COLUMNS) of each chunk with its surroundings, and how many rows it has."""
    reach, size = HEARD * REACH, HEARD * CHUNK
    held = silence(reach)
    left = 0  # rows of the sound in `held` behind the next chunk's beginning
    for part in parts:
        held, left = np.concatenate([held, part]), left + len(part)
        while left >= size + reach:
            yield held[: size + 2 * reach], CHUNK
            held, left = held[size:], left - size
    while left > 0:
        whole = np.concatenate([held, silence(max(0, size + 2 * reach - len(held)))])
        yield whole[: size + 2 * reach], min(CHUNK, -(-left // HEARD))
        held, left = held[size:], left - size


def gate(stretches: Array, seconds: Array) -> Array:
    """(T,) how much the mouth may move: 1 while somebody speaks, 0 in pauses; it rises before speech and falls after it, softly."""
    out = np.zeros(len(seconds))
    for begin, end in _near(stretches, seconds):
        rises = smoothstep(begin - OPENS[0], begin - OPENS[1], seconds)
        out = np.maximum(out, rises * (1 - smoothstep(end + CLOSES[0], end + CLOSES[1], seconds)))
    return out


def speaking(stretches: Array, seconds: Array) -> Array:
    """(T,) 0..1: whether somebody speaks, as heads show it: they begin earlier, and calm down slowly."""
    out = np.zeros(len(seconds))
    for begin, end in _near(stretches, seconds):
        out = np.maximum(
            out, smoothstep(begin - 0.6, begin, seconds) * (1 - smoothstep(end, end + 1.0, seconds))
        )
    return out


def _near(stretches: Array, seconds: Array) -> Array:
    """The stretches that reach into a window."""
    if not len(seconds):
        return stretches[:0]
    return np.asarray(
        stretches[(stretches[:, 1] > seconds[0] - 1.5) & (stretches[:, 0] < seconds[-1] + 1.5)]
    )


def load_network(name: str, run: RunOptions) -> Speaker:
    """The network with the weights of that name. Raises WeightsError when they are not here or are another model's."""
    return filled(load_tensors(name, offline=run.offline), name)


def filled(tensors: Mapping[str, Tensor], what: str) -> Speaker:
    """The network that tensors belong to, with them. what: named in the error.  Raises WeightsError when they are another model's."""
    out, basis = tensors.get("out.weight"), tensors.get("basis")
    width = WIDTH if out is None or out.dim() != 3 else out.shape[1]
    network = Speaker(width, *(() if basis is None else basis.shape[:1]))
    return load_state(network, {name: value.float() for name, value in tensors.items()}, what)


def load(run: RunOptions) -> A2M:
    """The network that learnt of all the data and the one that learnt of clear speech alone, together. Raises WeightsError."""
    return A2M([load_network(name, run) for name in ("a2m-s", "a2m-s-free")], run)


def load_free(run: RunOptions) -> A2M:
    """The voice whose weights may be used for anything. Raises WeightsError."""
    return A2M([load_network("a2m-s-free", run)], run)
