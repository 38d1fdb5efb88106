"""HuBERT: what a network trained on sixty thousand hours hears, fifty rows a second.

Hsu et al. 2021 (arXiv:2106.07447); key layout of Hugging Face's checkpoints facebook/hubert-base-ls960 and hubert-large-ls960-ft,
without what only training and transcription use (masked_spec_embed, lm_head).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.audio.weight_norm import NormedConv1d
from thcli.core.device import resolve
from thcli.core.options import RunOptions
from thcli.core.protocols import Speech
from thcli.core.types import Array32
from thcli.weights.tensors import load_tensors, require_keys

STRIDE, FIELD = (
    320,
    400,
)  # samples between two rows, and of one; row t is heard about sample 320 t + 200
PER_SECOND = 50
CLIP = 1000  # rows that attend to each other, as Real3D-Portrait cuts its sound: memory is that of 20 s
_KERNELS, _STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
_POSITIONS, _GROUPS = 128, 16  # kernel and groups of the convolution that tells places apart
_EPS = 1e-7  # under the root of the variance, as the published preprocessing has it
_UNUSED = ("lm_head.", "masked_spec_embed")


@dataclass(frozen=True, slots=True)
class Size:
    """width: numbers a row.  stable: norms before each block (and everywhere in the front end), as in the large one."""

    width: int
    layers: int
    heads: int
    inner: int
    stable: bool
    front: int = 512


BASE = Size(768, 12, 12, 3072, stable=False)
LARGE = Size(1024, 24, 16, 4096, stable=True)
SIZES = {"hubert-base": BASE, "hubert-large": LARGE}


class _FrontLayer(nn.Module):
    """A convolution over time, its norm (over channels, over time, or none) and GELU."""

    def __init__(self, inputs: int, size: Size, layer: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(
            inputs, size.front, _KERNELS[layer], _STRIDES[layer], bias=size.stable
        )
        self.stable = size.stable
        if size.stable:
            self.layer_norm: nn.Module = nn.LayerNorm(size.front)
        elif layer == 0:
            self.layer_norm = nn.GroupNorm(size.front, size.front)
        self.normed = size.stable or layer == 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.stable:
            x = self.layer_norm(x.mT).mT
        elif self.normed:
            x = self.layer_norm(x)
        return F.gelu(x)


class _Front(nn.Module):
    """Sound -> 50 rows a second."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        widths = (1, *[size.front] * (len(_KERNELS) - 1))
        self.conv_layers = nn.Sequential(
            *(_FrontLayer(width, size, layer) for layer, width in enumerate(widths))
        )

    def forward(self, sound: Tensor) -> Tensor:
        rows: Tensor = self.conv_layers(sound[:, None])
        return rows.mT


class _Projection(nn.Module):
    def __init__(self, size: Size) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(size.front)
        self.projection = nn.Linear(size.front, size.width)

    def forward(self, rows: Tensor) -> Tensor:
        projected: Tensor = self.projection(self.layer_norm(rows))
        return projected


class _Places(nn.Module):
    """What lies about each row, added to it: it stands for positions."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.conv = NormedConv1d(
            size.width, size.width, _POSITIONS, _POSITIONS // 2, _GROUPS, along=2
        )

    def forward(self, rows: Tensor) -> Tensor:
        places: Tensor = F.gelu(self.conv(rows.mT)[..., :-1]).transpose(1, 2)
        return places


class _Attention(nn.Module):
    def __init__(self, size: Size) -> None:
        super().__init__()
        self.heads = size.heads
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (
            nn.Linear(size.width, size.width) for _ in range(4)
        )

    def forward(self, rows: Tensor) -> Tensor:
        q, k, v = (
            p(rows).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out


class _FeedForward(nn.Module):
    def __init__(self, size: Size) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(size.width, size.inner)
        self.output_dense = nn.Linear(size.inner, size.width)

    def forward(self, rows: Tensor) -> Tensor:
        out: Tensor = self.output_dense(F.gelu(self.intermediate_dense(rows)))
        return out


class _Layer(nn.Module):
    """Attention and feed-forward, each around a residual; norms before them (stable) or after."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.stable = size.stable
        self.attention = _Attention(size)
        self.layer_norm = nn.LayerNorm(size.width)
        self.feed_forward = _FeedForward(size)
        self.final_layer_norm = nn.LayerNorm(size.width)

    def forward(self, rows: Tensor) -> Tensor:
        if self.stable:
            rows = rows + self.attention(self.layer_norm(rows))
            out: Tensor = rows + self.feed_forward(self.final_layer_norm(rows))
        else:
            rows = self.layer_norm(rows + self.attention(rows))
            out = self.final_layer_norm(rows + self.feed_forward(rows))
        return out


class _Encoder(nn.Module):
    def __init__(self, size: Size) -> None:
        super().__init__()
        self.stable = size.stable
        self.pos_conv_embed = _Places(size)
        self.layer_norm = nn.LayerNorm(size.width)
        self.layers = nn.Sequential(*(_Layer(size) for _ in range(size.layers)))

    def forward(self, rows: Tensor) -> Tensor:
        rows = rows + self.pos_conv_embed(rows)
        out: Tensor = (
            self.layer_norm(self.layers(rows))
            if self.stable
            else self.layers(self.layer_norm(rows))
        )
        return out


class HubertNetwork(nn.Module):
    """(B, N) samples of mean 0 and variance 1 -> (B, (N - 80) // 320, width): the last layer's rows."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.feature_extractor = _Front(size)
        self.feature_projection = _Projection(size)
        self.encoder = _Encoder(size)

    def forward(self, sound: Tensor) -> Tensor:
        rows: Tensor = self.encoder(self.feature_projection(self.feature_extractor(sound)))
        return rows


class Hubert:
    """A network with its weights, which listens to sounds of any length."""

    def __init__(self, network: HubertNetwork, run: RunOptions) -> None:
        self.device = resolve(run.device)
        self.network = network.to(self.device)
        self.half = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(run.precision)

    def rows(self, speech: Speech) -> Iterator[Array32]:
        """(T, width) float32 parts, row t about sample 320 t + 200: (N - 80) // 320 rows, at least 1 (a shorter sound ends in silence).

        The sound is normalised by its own mean and variance (it is read twice), and cut every 20 s: rows attend to their own cut
        only, as in Real3D-Portrait's preprocessing, so that an hour takes the memory of 20 s and the numbers are the published ones.
        """
        mean, scale = normalisation(speech)
        held: list[Array32] = []
        have = given = 0
        whole = CLIP * STRIDE + FIELD - STRIDE
        for block in speech.blocks():
            held.append((block - mean) * scale)
            have += len(block)
            while have >= whole:
                sound = np.concatenate(held)
                yield self._heard(sound[:whole])
                held, have, given = [sound[CLIP * STRIDE :]], have - CLIP * STRIDE, given + CLIP
        if have >= FIELD or not given:
            sound = np.concatenate([*held, np.zeros(max(0, FIELD - have), np.float32)])
            yield self._heard(sound)

    def _heard(self, sound: Array32) -> Array32:
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, self.half, enabled=self.half is not None),
        ):
            rows = self.network(torch.from_numpy(sound)[None].to(self.device))[0]
        found: Array32 = rows.float().cpu().numpy()
        return found


def normalisation(speech: Speech) -> tuple[np.float32, np.float32]:
    """The mean of a sound, and the factor that brings its variance to 1 (1 / sqrt(variance + 1e-7))."""
    total = square = 0.0
    count = 0
    for block in speech.blocks():
        exact = block.astype(np.float64)
        total, square, count = (
            total + float(exact.sum()),
            square + float(np.square(exact).sum()),
            count + len(block),
        )
    mean = total / max(count, 1)
    variance = max(0.0, square / max(count, 1) - mean * mean)
    return np.float32(mean), np.float32(1 / np.sqrt(variance + _EPS))


def published(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a Hugging Face checkpoint (of HubertModel, or below "hubert." in HubertForCTC) under our network's keys."""
    out = {}
    for key, tensor in tensors.items():
        name = key.removeprefix("hubert.")
        for new, old in (
            ("parametrizations.weight.original0", "weight_g"),
            ("parametrizations.weight.original1", "weight_v"),
        ):
            name = name.replace(new, old)  # as newer versions of torch save it
        if not name.startswith(_UNUSED):
            out[name] = tensor
    return out


def fill(network: HubertNetwork, tensors: Mapping[str, Tensor], where: str) -> HubertNetwork:
    """Puts a published checkpoint's tensors into the network. Raises WeightsError naming missing, unexpected or misshapen tensors."""
    given = {key: tensor.float() for key, tensor in published(tensors).items()}
    require_keys(given, network.state_dict(), where)
    network.load_state_dict(given, assign=True)  # the large one is 1.3 GB: it is there once
    return network.eval().requires_grad_(False)


def load(run: RunOptions, name: str = "hubert-large") -> Hubert:
    """hubert-large (1024 numbers a row) or hubert-base (768). Raises WeightsError when it is not here."""
    tensors = load_tensors(name, prefix="", offline=run.offline)
    with torch.device("meta"):
        network = HubertNetwork(SIZES[name])
    return Hubert(fill(network, tensors, name), run)
