"""The conditional VAE with a flow prior that turns sound into expressions, in the published key layout.

yerfor/Real3DPortrait modules/audio2motion (MIT), "Real3D-Portrait", ICLR 2024. Time: T rows of sound at 50 Hz, T / 2 frames of 25 Hz,
T / 8 latent steps; T is a multiple of 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from thcli.audio.weight_norm import NormedConv1d

HIDDEN, LATENT, STRIDE = 256, 16, 4
FLOW_HIDDEN, COUPLINGS = 64, 4
PITCHES = 300  # classes, of which 1..255 are used
USUAL_AMPLITUDE = 0.4  # of the mouth, where nothing is said
REACH = 20  # latent steps on either side that a step's frames depend on: 16 of the flow, 2 of the decoder, 1 of the condition


@dataclass(frozen=True, slots=True)
class Flags:
    """What a checkpoint's config.yaml decides. outputs: 64 expressions, or 80 identities before them."""

    pitch: bool = True
    flow: bool = True
    mouth: bool = True
    eyes: bool = False
    outputs: int = 64
    inputs: int = 1024


class Encoded(NamedTuple):
    """z: (B, 16, S) sample.  mean, log_std: the same shape.  mask: (B, 1, S)."""

    z: Tensor
    mean: Tensor
    log_std: Tensor
    mask: Tensor


class Trained(NamedTuple):
    """prediction: (B, frames, outputs).  kl: the divergence from the prior, a number.  mean, prior: (B, S, 16) of the encoder, and z in the prior."""

    prediction: Tensor
    kl: Tensor
    mean: Tensor
    prior: Tensor


class WaveNet(nn.Module):
    """Gated convolutions with skips, conditioned at every layer.  van den Oord et al. 2016, as in Glow-TTS; dilation 1."""

    def __init__(self, hidden: int, kernel: int, layers: int, condition: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.in_layers = nn.ModuleList(
            NormedConv1d(hidden, 2 * hidden, kernel, kernel // 2) for _ in range(layers)
        )
        widths = [2 * hidden] * (layers - 1) + [hidden]
        self.res_skip_layers = nn.ModuleList(NormedConv1d(hidden, width, 1) for width in widths)
        self.cond_layer = NormedConv1d(condition, 2 * hidden * layers, 1)

    def forward(self, x: Tensor, mask: Tensor, condition: Tensor) -> Tensor:
        """x: (B, hidden, T).  mask: (B, 1, T).  condition: (B, C, T)."""
        total = torch.zeros_like(x)
        conditions = self.cond_layer(condition).chunk(len(self.in_layers), dim=1)
        for inner, outer, given in zip(
            self.in_layers, self.res_skip_layers, conditions, strict=True
        ):
            shape, gate = (inner(x) + given).chunk(2, dim=1)
            out = outer(torch.tanh(shape) * torch.sigmoid(gate))
            if out.shape[1] == 2 * self.hidden:
                residual, out = out.chunk(2, dim=1)
                x = (x + residual) * mask
            total = total + out
        return total * mask


class Coupling(nn.Module):
    """Half of the channels is shifted by what the other half and the condition say."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.pre = nn.Conv1d(channels // 2, FLOW_HIDDEN, 1)
        self.enc = WaveNet(FLOW_HIDDEN, 3, 4, condition)
        self.post = nn.Conv1d(FLOW_HIDDEN, channels // 2, 1)

    def forward(self, x: Tensor, mask: Tensor, condition: Tensor, sign: int) -> Tensor:
        """sign: 1 towards the prior, -1 back."""
        kept, moved = x.chunk(2, dim=1)
        shift = self.post(self.enc(self.pre(kept) * mask, mask, condition)) * mask
        moved = shift + moved * mask if sign > 0 else (moved - shift) * mask
        return torch.cat([kept, moved], dim=1)


class Flow(nn.Module):
    """Latents to the prior's normal numbers and back: couplings, after each of which the channels change places."""

    def __init__(self, condition: int) -> None:
        super().__init__()
        # the odd places are the flips, which hold nothing
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
    """Expressions -> latents, four frames a step."""

    def __init__(self, outputs: int, condition: int) -> None:
        super().__init__()
        self.pre_net = nn.Sequential(nn.Conv1d(outputs, HIDDEN, 2 * STRIDE, STRIDE, STRIDE // 2))
        self.wn = WaveNet(HIDDEN, 5, 8, condition)
        self.out_proj = nn.Conv1d(HIDDEN, 2 * LATENT, 1)

    def forward(self, y: Tensor, mask: Tensor, condition: Tensor, noise: Tensor) -> Encoded:
        """y: (B, outputs, frames).  mask: (B, 1, frames).  condition, noise: at latent steps."""
        x = self.pre_net(y)
        mask = mask[..., ::STRIDE]
        x = x * mask
        mean, log_std = self.out_proj(self.wn(x, mask, condition) * mask).chunk(2, dim=1)
        return Encoded(mean + noise * log_std.exp(), mean, log_std, mask)


class Decoder(nn.Module):
    """Latents -> expressions."""

    def __init__(self, outputs: int, condition: int) -> None:
        super().__init__()
        self.pre_net = nn.Sequential(nn.ConvTranspose1d(LATENT, HIDDEN, STRIDE, STRIDE))
        self.wn = WaveNet(HIDDEN, 5, 4, condition)
        self.out_proj = nn.Conv1d(HIDDEN, outputs, 1)

    def forward(self, z: Tensor, mask: Tensor, condition: Tensor) -> Tensor:
        """z: (B, 16, S) -> (B, outputs, 4 S); mask and condition at frames."""
        x = self.pre_net(z) * mask
        out: Tensor = self.out_proj(self.wn(x, mask, condition) * mask)
        return out


class MotionVae(nn.Module):
    """Expressions, given a condition at every frame."""

    def __init__(self, outputs: int, condition: int, flow: bool) -> None:
        super().__init__()
        self.g_pre_net = nn.Sequential(
            nn.Conv1d(condition, condition, 2 * STRIDE, STRIDE, STRIDE // 2)
        )
        self.encoder = Encoder(outputs, condition)
        self.prior_flow = Flow(condition) if flow else None
        self.decoder = Decoder(outputs, condition)

    def sample(self, condition: Tensor, noise: Tensor) -> Tensor:
        """(B, C, frames), (B, 16, frames / 4) noise times temperature -> (B, outputs, frames)."""
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

    def forward(self, y: Tensor, mask: Tensor, condition: Tensor, noise: Tensor) -> Trained:
        """Training's path. y: (B, outputs, frames).  mask: (B, 1, frames)."""
        coarse = self.g_pre_net(condition)
        code = self.encoder(y, mask, condition=coarse, noise=noise)
        prior = (
            self.prior_flow(code.z, code.mask, coarse) if self.prior_flow is not None else code.z
        )
        # log q(z) - log p(z): of two normal distributions, whose constants cancel
        ratio = (prior.square() - noise.square()) / 2 - code.log_std
        kl = (ratio * code.mask).sum() / code.mask.sum() / LATENT
        prediction = self.decoder(code.z, mask, condition) * mask
        return Trained(prediction.mT, kl, code.mean.mT, prior.mT)


def _listener(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, width, 3, padding=1, bias=False),
        nn.BatchNorm1d(width),
        nn.GELU(),
        nn.Conv1d(width, width, 3, padding=1, bias=False),
    )


class AudioToMotion(nn.Module):
    """HuBERT rows, pitch, blinks and the mouth's amplitude -> expressions. Without pitch (an older kind) only HuBERT is heard."""

    def __init__(self, flags: Flags = Flags()) -> None:
        super().__init__()
        self.flags = flags
        width = 128 if flags.pitch else 64
        self.blink_embed = nn.Embedding(2, width)
        self.mel_encoder = _listener(flags.inputs, width)
        if flags.pitch:
            self.pitch_embed = nn.Embedding(PITCHES, width)
            self.pitch_encoder = _listener(width, width)
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
        """(B, width, T / 2) of hubert (B, T, inputs), hertz (B, T) 0 where unvoiced, blink (B, T) 0 or 1, mouth and eyes (B, 1)."""
        if not self.flags.pitch:
            pairs = (hubert[:, ::2] + hubert[:, 1::2]) / 2
            heard: Tensor = self.mel_encoder(pairs.mT)
            return heard
        heard = self.mel_encoder(hubert[:, ::2].mT)
        sung = self.pitch_encoder(self.pitch_embed(coarse_pitch(hertz[:, ::2])).mT)
        shut = torch.zeros_like(hertz, dtype=torch.long) if blink is None else blink
        parts = [heard.mT, sung.mT, self.blink_embed(shut[:, ::2])]
        usual = torch.full_like(hertz[:, :1], USUAL_AMPLITUDE)
        for wanted, given, name in (
            (self.flags.mouth, mouth, "mouth"),
            (self.flags.eyes, eyes, "eye"),
        ):
            if wanted:
                amount = usual if given is None else given
                embedded = amount * getattr(self, f"{name}_amp_embed")
                parts.append(embedded[:, None].expand(-1, heard.shape[2], -1))
        out: Tensor = self.cond_proj(torch.cat(parts, dim=2))
        return out.mT

    def forward(
        self, hubert: Tensor, hertz: Tensor, noise: Tensor, mouth: Tensor | None = None
    ) -> Tensor:
        """(B, T, inputs), (B, T) Hz, (B, 16, T / 8) noise times temperature, (B, 1) amplitude -> (B, T / 2, outputs)."""
        return self.vae.sample(self.condition(hubert, hertz, mouth=mouth), noise).mT


def coarse_pitch(hertz: Tensor) -> Tensor:
    """Hz -> class 1..255 on a mel scale from 50 to 1100 Hz, int64; 0 Hz (unvoiced) and all below 50 Hz are 1."""
    low, high = (1127 * torch.log1p(torch.tensor(edge / 700.0)) for edge in (50.0, 1100.0))
    mel = 1127 * torch.log1p(hertz / 700)
    return (((mel - low) * 254 / (high - low) + 1).clamp(1, 255) + 0.5).long()
