"""Voice `a2m`: speech to face motion of kind "mesh"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from thcli.audio.resample_rows import WINDOW, row_windows
from thcli.core.device import resolve_device
from thcli.core.errors import WeightsError
from thcli.core.imaging import smoothstep
from thcli.core.options import RunOptions, VoiceOptions
from thcli.core.protocols import Speech
from thcli.core.types import Array, Array32, Motion, Timestamps
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.motion.observe import KIND
from thcli.voices.a2m import articulation
from thcli.voices.a2m.articulation import close_lips
from thcli.voices.a2m.features import silent_inputs, speech_inputs
from thcli.voices.a2m.mouth import MouthShapes
from thcli.voices.a2m.networks import AUDIO_STRIDE, CLOSURES, MEMBERS, REACH, MouthNetwork
from thcli.voices.a2m.vowels import FrontVowels
from thcli.voices.shared.head_motion import TalkingFace
from thcli.voices.shared.living_head import phrases_near
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors

ROWS_PER_SECOND = Fraction(50)  # of motion
CHUNK_ROWS = 512  # motion rows per network call, at fixed positions of the sound
CONTEXT = REACH + articulation.REACH  # motion rows to each side of a chunk
NOISE_STRIDE = 4  # motion rows between two values of the noise
OPENING_LEAD = (0.50, 0.30)  # seconds before speech between which lips begin to part
CLOSING_LAG = (0.05, 0.30)  # seconds after speech between which lips close
TEMPERATURE = 0.0


class AudioToMotionVoice:
    """Voice of one network. Stateless between calls."""

    motion_kind = KIND

    def __init__(self, network: MouthNetwork, run: RunOptions) -> None:
        self._device = resolve_device(run.device)
        basis = network.basis.float().numpy()
        self._shapes = MouthShapes(basis, float(network.unit))
        self._vowels = FrontVowels(basis)
        self._network = network.eval().to(self._device)
        self._seed, self._offline = run.seed, run.offline

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

        The last part ends with the sound. Columns are the coefficients of the network's shapes,
        then the opening in the network's unit.
        """
        for chunk, (inputs, count) in enumerate(
            _split_chunks(speech_inputs(speech, self._offline))
        ):
            noise = np.concatenate([self._noise(chunk + k) for k in (-1, 0, 1)])
            noise = noise[CHUNK_ROWS - CONTEXT : 2 * CHUNK_ROWS + CONTEXT]
            audio, noise_tensor = (
                torch.from_numpy(array)[None].to(self._device) for array in (inputs, noise)
            )
            rows, logits = _predict_rows(self._network, audio, noise_tensor, temperature)
            rows[:, -1] = close_lips(np.maximum(rows[:, -1], 0), logits, inputs)
            rows = self._vowels.separate(rows, inputs)
            yield rows[CONTEXT : CONTEXT + count]

    def _noise(self, chunk: int) -> Array32:
        """Return smooth noise (CHUNK_ROWS, K + 1) of a chunk, which follows from seed and chunk.

        It is normal, with a new value every NOISE_STRIDE rows and a mixture of two in between that
        keeps the deviation.
        """
        columns = len(self._network.mean)
        values, following = (
            np.random.default_rng([self._seed, 10, number + 1]).standard_normal(
                (CHUNK_ROWS // NOISE_STRIDE, columns), np.float32
            )
            for number in (chunk, chunk + 1)
        )
        ends = np.concatenate([values, following[:1]])
        angle = np.float32(np.pi / 2) * (np.arange(NOISE_STRIDE, dtype=np.float32) / NOISE_STRIDE)
        mixed = np.cos(angle)[:, None] * ends[:-1, None] + np.sin(angle)[:, None] * ends[1:, None]
        return np.asarray(mixed.reshape(CHUNK_ROWS, columns), np.float32)


def _predict_rows(
    network: MouthNetwork, audio: Tensor, noise: Tensor, temperature: float
) -> tuple[Array32, Array32]:
    """Return rows (T / AUDIO_STRIDE, K + 1) of a network, and its closures' logits."""
    with torch.inference_mode():
        outputs = network(audio)
        rows = network.with_amplitude(outputs[..., :-CLOSURES], noise, temperature)
        host = torch.cat([rows, outputs[..., -CLOSURES:]], -1)[0].float().cpu().numpy()
    return host[:, :-CLOSURES].copy(), host[:, -CLOSURES:]


def _split_chunks(parts: Iterator[Array32]) -> Iterator[tuple[Array32, int]]:
    """Yield the inputs of each chunk with its context, and its number of motion rows.

    Inputs have AUDIO_STRIDE * (CHUNK_ROWS + 2 CONTEXT) rows and INPUT_COLUMNS columns.
    """
    reach, size = AUDIO_STRIDE * CONTEXT, AUDIO_STRIDE * CHUNK_ROWS
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
        WeightsError: the tensors are those of another model, or of an older one.
    """
    if "sound.stem.weight" in tensors:
        raise WeightsError(
            f"{name} has the layout of four predictors, which is no longer read.",
            "Train it again with 'thcli train a2m'. An imported one goes with "
            f"'thcli weights remove {name}', which leaves the bundled one.",
        )
    stem, basis = tensors.get("networks.0.stem.weight"), tensors.get("basis")
    width = MEMBERS[0].width if stem is None or stem.dim() != 3 else len(stem)
    narrow = max(1, MEMBERS[0].width // max(width, 1))
    network = MouthNetwork(narrow, *(() if basis is None else basis.shape[:1]))
    return load_state(network, {key: value.float() for key, value in tensors.items()}, name)


def load(run: RunOptions) -> AudioToMotionVoice:
    """Load the voice trained on all data.

    Raises:
        WeightsError: weights are not installed.
    """
    return AudioToMotionVoice(load_network("a2m-s", run), run)


def load_free(run: RunOptions) -> AudioToMotionVoice:
    """Load the voice whose weights are free for any use.

    Raises:
        WeightsError: the weights are not installed.
    """
    return AudioToMotionVoice(load_network("a2m-s-free", run), run)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the network."""
    build_network(checkpoint.tensors(), checkpoint.name)
