"""Voice `real3d`: Real3D-Portrait's audio-to-motion, 64 expressions of the Basel Face Model.

The model does not predict the head's pose. Blinks are periodic, as in the published program.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from thcli.audio.hubert import HubertEncoder
from thcli.audio.hubert import load as load_hubert
from thcli.audio.resample_rows import row_windows
from thcli.core.device import resolve_device
from thcli.core.options import RunOptions, VoiceOptions
from thcli.core.protocols import Speech
from thcli.core.types import Array32, Motion, Timestamps
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.voices.real3d.audio_features import ROWS_PER_STEP, encode_speech
from thcli.voices.real3d.config import read_flags
from thcli.voices.real3d.mesh_voice import MeshVoice, load_mesh_expressions
from thcli.voices.real3d.networks import LATENT, REACH, STRIDE, AudioToMotion
from thcli.weights import check_licence
from thcli.weights.layout import Checkpoint
from thcli.weights.manage import locate
from thcli.weights.tensors import load_tensors

KIND = "real3d"
FPS = Fraction(25)
EXPRESSIONS = 64
TEMPERATURE, AMPLITUDE = 0.2, 0.45  # the published program's defaults
BLINKS_PER_MINUTE = 12.0
CONFIG = "audio2secc_vae/config.yaml"
CHECKPOINT = "audio2secc_vae/model_ckpt_steps_400000.ckpt"
PREFIX = "state_dict.model."
_WINDOW_STEPS = 250  # latent steps of a window (40 s)
_NOISE_BLOCK_STEPS = 64  # latent steps per draw of noise


class Real3dVoice:
    """Voice of motion kind "real3d": expression (T, 64) and blink (T,), 0 open to 1 shut."""

    motion_kind = KIND

    def __init__(self, network: AudioToMotion, hubert: HubertEncoder, run: RunOptions) -> None:
        self.device = resolve_device(run.device)
        self.network = network.to(self.device)
        self.hubert = hubert
        self.seed = run.seed

    def speak(
        self, speech: Speech, pts: Timestamps, time_base: Fraction, options: VoiceOptions
    ) -> Iterator[Motion]:
        """Yield the motion at the time stamps; see `Voice`.

        Values are linear between the model's frames (25 per second).
        """
        for chosen, rows in row_windows(self.frames(speech, options), FPS, pts, time_base):
            stamps = pts[chosen]
            arrays = {
                "expression": rows.interpolate(stamps, time_base),
                "blink": self._blinks(stamps, time_base, options),
            }
            yield Motion(KIND, stamps, time_base, np.ones(len(stamps), np.bool_), arrays)

    def as_mesh(self, run: RunOptions) -> MeshVoice:
        """Return the voice for the mesh engine; see `MeshConvertibleVoice`."""
        return MeshVoice(self, load_mesh_expressions(run), run)

    def frames(self, speech: Speech, options: VoiceOptions) -> Iterator[Array32]:
        """Yield expressions (T, 64) float32 at 25 frames per second, independent of the windows."""
        temperature = TEMPERATURE if options.temperature is None else options.temperature
        mouth = AMPLITUDE * options.mouth
        first_step = next_step = 0  # first latent step in `pending`; first one not yielded yet
        pending: list[tuple[Array32, Array32]] = []
        pending_rows = 0
        parts = encode_speech(speech, self.hubert)
        ended = False
        while not ended:
            while (
                pending_rows < (next_step - first_step + _WINDOW_STEPS + REACH) * ROWS_PER_STEP
                and not ended
            ):
                if (part := next(parts, None)) is None:
                    ended = True
                else:
                    pending.append(part)
                    pending_rows += len(part[1])
            rows, hertz = (np.concatenate(column) for column in zip(*pending, strict=True))
            steps = pending_rows // ROWS_PER_STEP  # all of them at the end
            stop = first_step + steps if ended else next_step + _WINDOW_STEPS
            available = min(steps, stop + REACH - first_step)
            expressions = self._render(
                rows[: available * ROWS_PER_STEP],
                hertz[: available * ROWS_PER_STEP],
                first_step,
                mouth,
                temperature,
            )
            yield expressions[(next_step - first_step) * STRIDE : (stop - first_step) * STRIDE]
            next_step = stop
            dropped = max(0, next_step - REACH - first_step)
            pending = [(rows[dropped * ROWS_PER_STEP :], hertz[dropped * ROWS_PER_STEP :])]
            first_step, pending_rows = first_step + dropped, pending_rows - dropped * ROWS_PER_STEP

    def _render(
        self, rows: Array32, hertz: Array32, first_step: int, mouth: float, temperature: float
    ) -> Array32:
        noise = self.noise(first_step, len(rows) // ROWS_PER_STEP) * np.float32(temperature)
        inputs = (torch.from_numpy(array)[None].to(self.device) for array in (rows, hertz, noise))
        with torch.inference_mode():
            out = self.network(*inputs, torch.tensor([[mouth]], device=self.device))[
                0, :, -EXPRESSIONS:
            ]
        expressions: Array32 = out.cpu().numpy()
        return expressions

    def noise(self, first: int, count: int) -> Array32:
        """Return normal noise (16, count) of latent steps from `first`, by seed and step alone."""
        blocks = range(first // _NOISE_BLOCK_STEPS, (first + count - 1) // _NOISE_BLOCK_STEPS + 1)
        noise_blocks = [
            np.random.default_rng((self.seed, block)).standard_normal(
                (LATENT, _NOISE_BLOCK_STEPS), np.float32
            )
            for block in blocks
        ]
        begin = first - blocks.start * _NOISE_BLOCK_STEPS
        return np.concatenate(noise_blocks, axis=1)[:, begin : begin + count]

    def _blinks(self, pts: Timestamps, time_base: Fraction, options: VoiceOptions) -> Array32:
        """Return the closing of the eyes, (T,): blinks of 8 to 12 frames, the first at time 0."""
        rate = options.blinks_per_minute(BLINKS_PER_MINUTE)
        if not rate:
            return np.zeros(len(pts), np.float32)
        times = pts * float(time_base)
        index = np.floor(times * rate / 60)
        lengths = {
            n: np.random.default_rng((self.seed, 1, int(n))).integers(8, 13)
            for n in set(index[index >= 0])
        }
        length = np.array([lengths.get(n, 1) for n in index]) / float(FPS)
        progress = (times - index * 60 / rate) / length
        return np.where((progress < 1) & (index >= 0), 4 * progress * (1 - progress), 0).astype(
            np.float32
        )


def load(run: RunOptions) -> Real3dVoice:
    """Load the published checkpoint and HuBERT large.

    Raises:
        WeightsError: weights are not installed, are of another kind, or --licence excludes them.
    """
    check_licence("real3d", run.licence)
    config = locate("real3d", offline=run.offline) / CONFIG
    tensors = load_tensors("real3d", prefix=PREFIX, member=CHECKPOINT, offline=run.offline)
    return Real3dVoice(_build_network(config, tensors), load_hubert(run), run)


def _build_network(config: Path, tensors: Mapping[str, Tensor]) -> AudioToMotion:
    """Build the network from the published configuration file and checkpoint."""
    flags = read_flags(config.read_text("utf-8"), f"real3d: {CONFIG}")
    return load_state(AudioToMotion(flags), tensors, "real3d")


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the network."""
    tensors = checkpoint.tensors(PREFIX, CHECKPOINT)
    _build_network(checkpoint.files[CONFIG], tensors)
