"""Voice `a2m`: speech to face motion of kind "mesh"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from thcli.audio.features import extract_features
from thcli.audio.resample_rows import WINDOW, row_windows
from thcli.core.device import resolve_device
from thcli.core.imaging import smoothstep
from thcli.core.options import RunOptions, VoiceOptions
from thcli.core.protocols import Speech
from thcli.core.types import Array, Array32, Motion, Timestamps
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.motion.observe import KIND
from thcli.voices.a2m.features import network_inputs, silent_inputs
from thcli.voices.a2m.mouth import MouthShapes
from thcli.voices.a2m.networks import (
    AUDIO_STRIDE,
    LATENT,
    LATENT_STRIDE,
    REACH,
    WIDTH,
    MouthNetwork,
)
from thcli.voices.shared.head_motion import TalkingFace
from thcli.voices.shared.living_head import phrases_near
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors

ROWS_PER_SECOND = Fraction(50)  # of motion
CHUNK_ROWS = 512  # motion rows per network call, at fixed positions of the sound
OPENING_LEAD = (0.40, 0.12)  # seconds before speech between which lips begin to part
CLOSING_LAG = (0.05, 0.30)  # seconds after speech between which lips close
TEMPERATURE = 0.3


class AudioToMotionVoice:
    """Voice that averages the outputs of one or more networks. Stateless between calls."""

    motion_kind = KIND

    def __init__(self, networks: Sequence[MouthNetwork], run: RunOptions) -> None:
        self._device = resolve_device(run.device)
        self._networks = [network.eval().to(self._device) for network in networks]
        self._seed = run.seed
        bases = [network.basis.float().cpu().numpy() for network in networks]
        self._shapes = MouthShapes(np.concatenate(bases), 1.0)

    def speak(
        self, speech: Speech, pts: Timestamps, time_base: Fraction, options: VoiceOptions
    ) -> Iterator[Motion]:
        """Yield the motion at the time stamps; see `Voice`.

        Constants are those of kind "mesh" and `rest`, the pose from which the head moves.

        Raises:
            MediaError: the file of --pose cannot be used.
        """
        face = TalkingFace(speech, options, self._seed)
        temperature = TEMPERATURE if options.temperature is None else options.temperature
        rows = self.predict_rows(speech, temperature)
        for chosen, window in row_windows(rows, ROWS_PER_SECOND, pts, time_base, size=WINDOW):
            stamps = pts[chosen]
            seconds = np.asarray(stamps * float(time_base), np.float64)
            gate = mouth_gate(face.phrases, seconds)[:, None].astype(np.float32)
            shapes = self._shapes.faces(window.interpolate(stamps, time_base) * gate, options.mouth)
            yield face.motion(shapes, stamps, time_base)

    def predict_rows(self, speech: Speech, temperature: float) -> Iterator[Array32]:
        """Yield the mouth's rows in order, (CHUNK_ROWS, K + 1) float32, ROWS_PER_SECOND per second.

        The last part ends with the sound. Columns are the coefficients of all networks' shapes,
        then the opening in canonical units.
        """
        features = (network_inputs(rows) for rows in extract_features(speech))
        for chunk, (inputs, count) in enumerate(_split_chunks(features)):
            noise = np.concatenate([self._noise(chunk + k) for k in (-1, 0, 1)], 1)
            begin, end = CHUNK_ROWS - REACH, 2 * CHUNK_ROWS + REACH
            noise = noise[:, begin // LATENT_STRIDE : end // LATENT_STRIDE] * np.float32(
                temperature
            )
            audio, noise_tensor = (
                torch.from_numpy(array)[None].to(self._device) for array in (inputs, noise)
            )
            outputs = [
                _predict_rows(network, audio, noise_tensor, temperature)[REACH : REACH + count]
                for network in self._networks
            ]
            opening = np.mean([rows[:, -1] for rows in outputs], 0)
            shapes = [rows[:, :-1] / len(outputs) for rows in outputs]
            yield np.column_stack([*shapes, opening]).astype(np.float32)

    def _noise(self, chunk: int) -> Array32:
        """Return the noise (LATENT, CHUNK_ROWS / LATENT_STRIDE) of a chunk, by seed and chunk."""
        return np.random.default_rng([self._seed, 10, chunk + 1]).standard_normal(
            (LATENT, CHUNK_ROWS // LATENT_STRIDE), np.float32
        )


def _predict_rows(
    network: MouthNetwork, audio: Tensor, noise: Tensor, temperature: float
) -> Array32:
    """Return rows (T / AUDIO_STRIDE, K + 1) of one network, the opening in canonical units.

    The gain compensates for the smaller amplitude of the mean over many true motions.
    """
    with torch.inference_mode():
        rows = network(audio, noise)[0].float().cpu().numpy()
    rows = rows * np.float32(1 + (float(network.gain) - 1) * max(0.0, 1 - temperature))
    rows[:, -1] *= np.float32(float(network.unit))
    return np.asarray(rows, np.float32)


def _split_chunks(parts: Iterator[Array32]) -> Iterator[tuple[Array32, int]]:
    """Yield the inputs of each chunk with its context, and its number of motion rows.

    Inputs have AUDIO_STRIDE * (CHUNK_ROWS + 2 REACH) rows and INPUT_COLUMNS columns.
    """
    reach, size = AUDIO_STRIDE * REACH, AUDIO_STRIDE * CHUNK_ROWS
    pending = silent_inputs(reach)
    remaining = 0  # audio rows in `pending` from the next chunk's beginning on
    for part in parts:
        pending, remaining = np.concatenate([pending, part]), remaining + len(part)
        while remaining >= size + reach:
            yield pending[: size + 2 * reach], CHUNK_ROWS
            pending, remaining = pending[size:], remaining - size
    while remaining > 0:
        padded = np.concatenate([pending, silent_inputs(max(0, size + 2 * reach - len(pending)))])
        yield padded[: size + 2 * reach], min(CHUNK_ROWS, -(-remaining // AUDIO_STRIDE))
        pending, remaining = pending[size:], remaining - size


def mouth_gate(phrases: Array, seconds: Array) -> Array:
    """Return the amplitude of the mouth's motion, (T,): 1 during speech, 0 in pauses.

    It rises softly before speech and falls softly after it.
    """
    gate = np.zeros(len(seconds))
    for begin, end in phrases_near(phrases, seconds):
        rises = smoothstep(begin - OPENING_LEAD[0], begin - OPENING_LEAD[1], seconds)
        falls = smoothstep(end + CLOSING_LAG[0], end + CLOSING_LAG[1], seconds)
        gate = np.maximum(gate, rises * (1 - falls))
    return gate


def load_network(name: str, run: RunOptions) -> MouthNetwork:
    """Load the network with the weights of that name.

    Raises:
        WeightsError: the weights are not installed or are those of another model.
    """
    return build_network(load_tensors(name, offline=run.offline), name)


def build_network(tensors: Mapping[str, Tensor], name: str) -> MouthNetwork:
    """Build the network that tensors belong to and load them.

    Args:
        tensors: state of the network.
        name: name of the weights in errors.

    Raises:
        WeightsError: the tensors are those of another model.
    """
    out_weight, basis = tensors.get("out.weight"), tensors.get("basis")
    width = WIDTH if out_weight is None or out_weight.dim() != 3 else out_weight.shape[1]
    network = MouthNetwork(width, *(() if basis is None else basis.shape[:1]))
    return load_state(network, {key: value.float() for key, value in tensors.items()}, name)


def load(run: RunOptions) -> AudioToMotionVoice:
    """Load the voice of two networks: one trained on all data, one on clear speech alone.

    Raises:
        WeightsError: weights are not installed.
    """
    return AudioToMotionVoice([load_network(name, run) for name in ("a2m-s", "a2m-s-free")], run)


def load_free(run: RunOptions) -> AudioToMotionVoice:
    """Load the voice whose weights are free for any use.

    Raises:
        WeightsError: the weights are not installed.
    """
    return AudioToMotionVoice([load_network("a2m-s-free", run)], run)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the network."""
    build_network(checkpoint.tensors(), checkpoint.name)
