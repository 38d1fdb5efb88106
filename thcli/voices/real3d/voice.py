"""Real3D-Portrait's audio-to-motion as a voice: motion kind "real3d", 64 expressions of the Basel Face Model at any time stamps.

The head's pose is not the model's to say; blinks are periodic, as the published program draws them.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import torch

from thcli.audio.hubert import Hubert
from thcli.audio.hubert import load as load_hubert
from thcli.audio.resample_rows import windows
from thcli.core.device import resolve
from thcli.core.options import RunOptions, VoiceOptions
from thcli.core.protocols import Speech
from thcli.core.types import Array32, Motion, Stamps
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.faces.adapters.common import check_licence
from thcli.voices.real3d.audio_features import ROWS_A_STEP, listen
from thcli.voices.real3d.config import read_flags
from thcli.voices.real3d.networks import LATENT, REACH, STRIDE, AudioToMotion
from thcli.weights.manage import locate
from thcli.weights.tensors import load_tensors

KIND = "real3d"
FPS = Fraction(25)
EXPRESSIONS = 64
TEMPERATURE, AMPLITUDE = 0.2, 0.45  # the published program's defaults
BLINKS = 12.0  # a minute
_FOLDER, _FILE = "audio2secc_vae", "model_ckpt_steps_400000.ckpt"
_STEPS = 250  # latent steps of a window: 40 s
_NOISE = 64  # latent steps whose noise is drawn at once


class Real3dVoice:
    """Rows: expression (T, 64) and blink (T,) 0 open to 1 shut."""

    motion_kind = KIND

    def __init__(self, network: AudioToMotion, hubert: Hubert, run: RunOptions) -> None:
        self.device = resolve(run.device)
        self.network = network.to(self.device)
        self.hubert = hubert
        self.seed = run.seed

    def speak(
        self, speech: Speech, pts: Stamps, time_base: Fraction, options: VoiceOptions
    ) -> Iterator[Motion]:
        """See core.protocols.Voice. Between two of its own frames (25 a second) the numbers are linear."""
        for chosen, rows in windows(self.frames(speech, options), FPS, pts, time_base):
            stamps = pts[chosen]
            arrays = {
                "expression": rows.at(stamps, time_base),
                "blink": self._blinks(stamps, time_base, options),
            }
            yield Motion(KIND, stamps, time_base, np.ones(len(stamps), np.bool_), arrays)

    def frames(self, speech: Speech, options: VoiceOptions) -> Iterator[Array32]:
        """(T, 64) float32 parts at 25 frames a second; the same numbers whatever the windows."""
        temperature = TEMPERATURE if options.temperature is None else options.temperature
        mouth = AMPLITUDE * options.mouth
        step = done = 0  # the first latent step held, and the first not given yet
        held: list[tuple[Array32, Array32]] = []
        have = 0  # rows held
        parts = listen(speech, self.hubert)
        ended = False
        while not ended:
            while have < (done - step + _STEPS + REACH) * ROWS_A_STEP and not ended:
                if (part := next(parts, None)) is None:
                    ended = True
                else:
                    held.append(part)
                    have += len(part[1])
            rows, hertz = (np.concatenate(column) for column in zip(*held, strict=True))
            steps = have // ROWS_A_STEP  # all of them at the end
            stop = step + steps if ended else done + _STEPS
            known = min(steps, stop + REACH - step)
            made = self._render(
                rows[: known * ROWS_A_STEP], hertz[: known * ROWS_A_STEP], step, mouth, temperature
            )
            yield made[(done - step) * STRIDE : (stop - step) * STRIDE]
            done = stop
            gone = max(0, done - REACH - step)
            held = [(rows[gone * ROWS_A_STEP :], hertz[gone * ROWS_A_STEP :])]
            step, have = step + gone, have - gone * ROWS_A_STEP

    def _render(
        self, rows: Array32, hertz: Array32, step: int, mouth: float, temperature: float
    ) -> Array32:
        noise = self.noise(step, len(rows) // ROWS_A_STEP) * np.float32(temperature)
        given = (torch.from_numpy(array)[None].to(self.device) for array in (rows, hertz, noise))
        with torch.inference_mode():
            out = self.network(*given, torch.tensor([[mouth]], device=self.device))[
                0, :, -EXPRESSIONS:
            ]
        found: Array32 = out.cpu().numpy()
        return found

    def noise(self, first: int, count: int) -> Array32:
        """(16, count) normal numbers of the latent steps from `first` on: of the seed and the step alone."""
        blocks = range(first // _NOISE, (first + count - 1) // _NOISE + 1)
        drawn = [
            np.random.default_rng((self.seed & (1 << 63) - 1, block)).standard_normal(
                (LATENT, _NOISE), np.float32
            )
            for block in blocks
        ]
        begin = first - blocks.start * _NOISE
        return np.concatenate(drawn, axis=1)[:, begin : begin + count]

    def _blinks(self, pts: Stamps, time_base: Fraction, options: VoiceOptions) -> Array32:
        """(T,) how far the eyes are shut: of 8 to 12 frames' length, the first at the beginning."""
        rate = options.blinks_a_minute(BLINKS)
        if not rate:
            return np.zeros(len(pts), np.float32)
        times = pts * float(time_base)
        number = np.floor(times * rate / 60)
        lengths = {
            n: np.random.default_rng((self.seed & (1 << 63) - 1, 1, int(n))).integers(8, 13)
            for n in set(number[number >= 0])
        }
        length = np.array([lengths.get(n, 1) for n in number]) / float(FPS)
        share = (times - number * 60 / rate) / length
        return np.where((share < 1) & (number >= 0), 4 * share * (1 - share), 0).astype(np.float32)


def load(run: RunOptions) -> Real3dVoice:
    """The published checkpoint and HuBERT large. Raises WeightsError when one is not here, is of another kind, or --licence refuses it."""
    check_licence("real3d", run.licence)
    folder = locate("real3d", offline=run.offline) / _FOLDER
    flags = read_flags(
        (folder / "config.yaml").read_text("utf-8"), f"real3d: {_FOLDER}/config.yaml"
    )
    tensors = load_tensors(
        "real3d", prefix="state_dict.model.", member=f"{_FOLDER}/{_FILE}", offline=run.offline
    )
    network = load_state(AudioToMotion(flags), tensors, "real3d")
    return Real3dVoice(network, load_hubert(run), run)
