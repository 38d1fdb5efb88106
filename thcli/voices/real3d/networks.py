"""Conditional VAE with a flow prior from audio to expressions, in the published key layout.

yerfor/Real3DPortrait modules/audio2motion (MIT), "Real3D-Portrait", ICLR 2024. T audio rows at 50
Hz correspond to T / 2 frames at 25 Hz and T / 8 latent steps; T is a multiple of 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from thcli.audio.weight_norm import WeightNormConv1d

HIDDEN, LATENT, STRIDE = 256, 16, 4
FLOW_HIDDEN, COUPLINGS = 64, 4
PITCHES = 300  # pitch classes, of which 1..255 are used
DEFAULT_AMPLITUDE = 0.4  # of mouth and eyes, if none is given
# latent steps on each side that a step's frames depend on: flow 16, decoder 2, condition 1
REACH = 20


@dataclass(frozen=True, slots=True)
class CheckpointFlags:
    """Variants of the model in a checkpoint's config.yaml.

    Attributes:
        pitch: pitch is an input.
        flow: the prior has a flow.
        mouth, eyes: amplitudes of mouth and eyes are inputs.
        outputs: 64 expressions, or 144 columns with 80 identity coefficients before them.
        inputs: columns of a HuBERT row.
    """

    pitch: bool = True
    flow: bool = True
    mouth: bool = True
    eyes: bool = False
    outputs: int = 64
    inputs: int = 1024


class LatentSample(NamedTuple):
    """Sample of the latent posterior.

    Attributes:
        z: (B, 16, S) sample.
        mean, log_std: (B, 16, S).
        mask: (B, 1, S).
    """

    z: Tensor
    mean: Tensor
    log_std: Tensor
    mask: Tensor


class TrainingOutput(NamedTuple):
    """Output of the training path.

    Attributes:
        prediction: (B, frames, outputs).
        kl: divergence from the prior, a number.
        mean: (B, S, 16) of the encoder.
        prior: (B, S, 16) z mapped to the prior.
    """

    prediction: Tensor
    kl: Tensor
    mean: Tensor
    prior: Tensor


class WaveNet(nn.Module):
    """Gated convolutions with skips and a condition in every layer, dilation 1.

    van den Oord et al. 2016, as in Glow-TTS.
    """

    def __init__(self, hidden: int, kernel: int, layers: int, condition: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.in_layers = nn.ModuleList(
            WeightNormConv1d(hidden, 2 * hidden, kernel, kernel // 2) for _ in range(layers)
        )
        widths = [2 * hidden] * (layers - 1) + [hidden]
        self.res_skip_layers = nn.ModuleList(WeightNormConv1d(hidden, width, 1) for width in widths)
        self.cond_layer = WeightNormConv1d(condition, 2 * hidden * layers, 1)

    def forward(self, x: Tensor, mask: Tensor, condition: Tensor) -> Tensor:
        """Map x (B, hidden, T) to the same shape; mask: (B, 1, T), condition: (B, C, T)."""
        total = torch.zeros_like(x)
        conditions = self.cond_layer(condition).chunk(len(self.in_layers), dim=1)
        for in_layer, res_skip_layer, layer_condition in zip(
            self.in_layers, self.res_skip_layers, conditions, strict=True
        ):
            content, gate = (in_layer(x) + layer_condition).chunk(2, dim=1)
            out = res_skip_layer(torch.tanh(content) * torch.sigmoid(gate))
            if out.shape[1] == 2 * self.hidden:
                residual, out = out.chunk(2, dim=1)
                x = (x + residual) * mask
            total = total + out
        return total * mask


class Coupling(nn.Module):
    """Additive coupling: half of the channels is shifted by a function of the other half."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.pre = nn.Conv1d(channels // 2, FLOW_HIDDEN, 1)
        self.enc = WaveNet(FLOW_HIDDEN, 3, 4, condition)
        self.post = nn.Conv1d(FLOW_HIDDEN, channels // 2, 1)

    def forward(self, x: Tensor, mask: Tensor, condition: Tensor, sign: int) -> Tensor:
        """Apply the coupling; sign: 1 towards the prior, -1 back."""
        unchanged, shifted = x.chunk(2, dim=1)
        shift = self.post(self.enc(self.pre(unchanged) * mask, mask, condition)) * mask
        shifted = shift + shifted * mask if sign > 0 else (shifted - shift) * mask
        return torch.cat([unchanged, shifted], dim=1)


class Flow(nn.Module):
    """Flow between latents and the normal prior: couplings, each followed by a channel flip."""

    def __init__(self, condition: int) -> None:
        super().__init__()
        # odd indices are the flips, which have no parameters
        self.flows = nn.ModuleDict(
            {str(2 * i): Coupling(LATENT, condition) for i in range(COUPLINGS)}
        )

    def forward(self, z: Tensor, mask: Tensor, condition: Tensor) -> Tensor:
        for coupling in self.flows.values():
            z = coupling(z, mask, condition, 1).flip(1)
        return z

    def reverse(self, z: Tensor, mask: Tensor, condition: Tensor) -> Tensor:
        for coupling in reversed(list(self.flows.values())):
            z = coupling(z.flip(1), mask, condition, -1)
        return z


class Encoder(nn.Module):
    """Encoder of expressions to latents, four frames per step."""

    def __init__(self, outputs: int, condition: int) -> None:
        super().__init__()
        self.pre_net = nn.Sequential(nn.Conv1d(outputs, HIDDEN, 2 * STRIDE, STRIDE, STRIDE // 2))
        self.wn = WaveNet(HIDDEN, 5, 8, condition)
        self.out_proj = nn.Conv1d(HIDDEN, 2 * LATENT, 1)

    def forward(self, y: Tensor, mask: Tensor, condition: Tensor, noise: Tensor) -> LatentSample:
        """Encode y (B, outputs, frames) with mask (B, 1, frames).

        condition and noise are at latent steps.
        """
        x = self.pre_net(y)
        mask = mask[..., ::STRIDE]
        x = x * mask
        mean, log_std = self.out_proj(self.wn(x, mask, condition) * mask).chunk(2, dim=1)
        return LatentSample(mean + noise * log_std.exp(), mean, log_std, mask)


class Decoder(nn.Module):
    """Decoder of latents to expressions."""

    def __init__(self, outputs: int, condition: int) -> None:
        super().__init__()
        self.pre_net = nn.Sequential(nn.ConvTranspose1d(LATENT, HIDDEN, STRIDE, STRIDE))
        self.wn = WaveNet(HIDDEN, 5, 4, condition)
        self.out_proj = nn.Conv1d(HIDDEN, outputs, 1)

    def forward(self, z: Tensor, mask: Tensor, condition: Tensor) -> Tensor:
        """Map z (B, 16, S) to (B, outputs, 4 S); mask and condition at frames."""
        x = self.pre_net(z) * mask
        out: Tensor = self.out_proj(self.wn(x, mask, condition) * mask)
        return out


class MotionVae(nn.Module):
    """Conditional VAE of expressions, with a condition per frame."""

    def __init__(self, outputs: int, condition: int, flow: bool) -> None:
        super().__init__()
        self.g_pre_net = nn.Sequential(
            nn.Conv1d(condition, condition, 2 * STRIDE, STRIDE, STRIDE // 2)
        )
        self.encoder = Encoder(outputs, condition)
        self.prior_flow = Flow(condition) if flow else None
        self.decoder = Decoder(outputs, condition)

    def sample(self, condition: Tensor, noise: Tensor) -> Tensor:
        """Decode noise into expressions.

        Args:
            condition: (B, C, frames).
            noise: (B, 16, frames / 4), scaled by the temperature.

        Returns:
            (B, outputs, frames).
        """
        frames, steps = (
            condition.new_ones(len(condition), 1, condition.shape[2]),
            noise.new_ones(len(noise), 1, noise.shape[2]),
        )
        z = (
            self.prior_flow.reverse(noise, steps, self.g_pre_net(condition))
            if self.prior_flow is not None
            else noise
        )
        out: Tensor = self.decoder(z, frames, condition)
        return out

    def forward(self, y: Tensor, mask: Tensor, condition: Tensor, noise: Tensor) -> TrainingOutput:
        """Run the training path on y (B, outputs, frames) with mask (B, 1, frames)."""
        latent_condition = self.g_pre_net(condition)
        latent = self.encoder(y, mask, condition=latent_condition, noise=noise)
        prior = (
            self.prior_flow(latent.z, latent.mask, latent_condition)
            if self.prior_flow is not None
            else latent.z
        )
        # log q(z) - log p(z) of two normal distributions; their constants cancel
        log_ratio = (prior.square() - noise.square()) / 2 - latent.log_std
        kl = (log_ratio * latent.mask).sum() / latent.mask.sum() / LATENT
        prediction = self.decoder(latent.z, mask, condition) * mask
        return TrainingOutput(prediction.mT, kl, latent.mean.mT, prior.mT)


def _audio_encoder(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, width, 3, padding=1, bias=False),
        nn.BatchNorm1d(width),
        nn.GELU(),
        nn.Conv1d(width, width, 3, padding=1, bias=False),
    )


class AudioToMotion(nn.Module):
    """HuBERT rows, pitch, blinks and amplitudes to expressions.

    Checkpoints without pitch (an older kind) use HuBERT alone.
    """

    def __init__(self, flags: CheckpointFlags = CheckpointFlags()) -> None:
        super().__init__()
        self.flags = flags
        width = 128 if flags.pitch else 64
        self.blink_embed = nn.Embedding(2, width)
        self.mel_encoder = _audio_encoder(flags.inputs, width)
        if flags.pitch:
            self.pitch_embed = nn.Embedding(PITCHES, width)
            self.pitch_encoder = _audio_encoder(width, width)
            self.cond_proj = nn.Linear(width * (3 + flags.mouth + flags.eyes), width)
            if flags.mouth:
                self.mouth_amp_embed = nn.Parameter(torch.randn(width))
            if flags.eyes:
                self.eye_amp_embed = nn.Parameter(torch.randn(width))
        self.vae = MotionVae(flags.outputs, width, flags.flow)

    def condition(
        self,
        hubert: Tensor,
        hertz: Tensor,
        blink: Tensor | None = None,
        mouth: Tensor | None = None,
        eyes: Tensor | None = None,
    ) -> Tensor:
        """Return the condition per frame, (B, width, T / 2).

        Args:
            hubert: (B, T, inputs).
            hertz: (B, T), 0 where unvoiced.
            blink: (B, T) 0 or 1.
            mouth, eyes: (B, 1) amplitudes.
        """
        if not self.flags.pitch:
            pairs = (hubert[:, ::2] + hubert[:, 1::2]) / 2
            audio: Tensor = self.mel_encoder(pairs.mT)
            return audio
        audio = self.mel_encoder(hubert[:, ::2].mT)
        pitch_rows = self.pitch_encoder(self.pitch_embed(coarse_pitch(hertz[:, ::2])).mT)
        blinks = torch.zeros_like(hertz, dtype=torch.long) if blink is None else blink
        parts = [audio.mT, pitch_rows.mT, self.blink_embed(blinks[:, ::2])]
        default = torch.full_like(hertz[:, :1], DEFAULT_AMPLITUDE)
        for used, amplitude, name in (
            (self.flags.mouth, mouth, "mouth"),
            (self.flags.eyes, eyes, "eye"),
        ):
            if used:
                scale = default if amplitude is None else amplitude
                embedded = scale * getattr(self, f"{name}_amp_embed")
                parts.append(embedded[:, None].expand(-1, audio.shape[2], -1))
        out: Tensor = self.cond_proj(torch.cat(parts, dim=2))
        return out.mT

    def forward(
        self, hubert: Tensor, hertz: Tensor, noise: Tensor, mouth: Tensor | None = None
    ) -> Tensor:
        """Return expressions (B, T / 2, outputs).

        Args:
            hubert: (B, T, inputs).
            hertz: (B, T), 0 where unvoiced.
            noise: (B, 16, T / 8), scaled by the temperature.
            mouth: (B, 1) amplitude.
        """
        return self.vae.sample(self.condition(hubert, hertz, mouth=mouth), noise).mT


def coarse_pitch(hertz: Tensor) -> Tensor:
    """Return pitch classes 1..255 on a mel scale from 50 to 1100 Hz, int64.

    Class 1 includes 0 Hz (unvoiced) and every pitch below 50 Hz.
    """
    low, high = (1127 * torch.log1p(torch.tensor(edge / 700.0)) for edge in (50.0, 1100.0))
    mel = 1127 * torch.log1p(hertz / 700)
    return (((mel - low) * 254 / (high - low) + 1).clamp(1, 255) + 0.5).long()
