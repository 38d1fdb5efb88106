"""HuBERT speech features at 50 rows per second.

Hsu et al. 2021 (arXiv:2106.07447). Keys are those of the Hugging Face checkpoints
facebook/hubert-base-ls960 and hubert-large-ls960-ft, without the tensors for training and
transcription (masked_spec_embed, lm_head).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.audio.weight_norm import WeightNormConv1d
from thcli.core.device import resolve_device
from thcli.core.options import RunOptions
from thcli.core.protocols import Speech
from thcli.core.types import Array32
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors, require_keys

STRIDE = 320  # samples between two rows
RECEPTIVE_FIELD = 400  # samples of one row; row t is centred at sample 320 t + 200
CHUNK_ROWS = 1000  # rows (20 s) that attend to each other, as in Real3D-Portrait
_KERNELS, _STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
_POSITION_KERNEL, _POSITION_GROUPS = 128, 16  # of the convolution that encodes positions
_EPS = 1e-7  # added to the variance, as in the published preprocessing
_UNUSED = ("lm_head.", "masked_spec_embed")


@dataclass(frozen=True, slots=True)
class HubertConfig:
    """Sizes of a HuBERT network.

    Attributes:
        width: columns of a row.
        layers, heads, inner: transformer layers, attention heads, feed-forward width.
        stable: layer norm before each block and in every front-end layer (large model).
        front: channels of the convolutional front end.
    """

    width: int
    layers: int
    heads: int
    inner: int
    stable: bool
    front: int = 512


BASE = HubertConfig(768, 12, 12, 3072, stable=False)
LARGE = HubertConfig(1024, 24, 16, 4096, stable=True)
CONFIGS = {"hubert-base": BASE, "hubert-large": LARGE}


class _FeatureLayer(nn.Module):
    """Convolution over time with its norm (over channels, over time, or none) and GELU."""

    def __init__(self, inputs: int, config: HubertConfig, layer: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(
            inputs, config.front, _KERNELS[layer], _STRIDES[layer], bias=config.stable
        )
        self.stable = config.stable
        if config.stable:
            self.layer_norm: nn.Module = nn.LayerNorm(config.front)
        elif layer == 0:
            self.layer_norm = nn.GroupNorm(config.front, config.front)
        self.normed = config.stable or layer == 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.stable:
            x = self.layer_norm(x.mT).mT
        elif self.normed:
            x = self.layer_norm(x)
        return F.gelu(x)


class _FeatureExtractor(nn.Module):
    """Convolutional front end: samples to 50 rows per second."""

    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        widths = (1, *[config.front] * (len(_KERNELS) - 1))
        self.conv_layers = nn.Sequential(
            *(_FeatureLayer(width, config, layer) for layer, width in enumerate(widths))
        )

    def forward(self, sound: Tensor) -> Tensor:
        rows: Tensor = self.conv_layers(sound[:, None])
        return rows.mT


class _Projection(nn.Module):
    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(config.front)
        self.projection = nn.Linear(config.front, config.width)

    def forward(self, rows: Tensor) -> Tensor:
        projected: Tensor = self.projection(self.layer_norm(rows))
        return projected


class _PositionalConv(nn.Module):
    """Convolutional positional embedding, a function of the neighbouring rows."""

    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.conv = WeightNormConv1d(
            config.width,
            config.width,
            _POSITION_KERNEL,
            _POSITION_KERNEL // 2,
            _POSITION_GROUPS,
            dim=2,
        )

    def forward(self, rows: Tensor) -> Tensor:
        embedding: Tensor = F.gelu(self.conv(rows.mT)[..., :-1]).transpose(1, 2)
        return embedding


class _Attention(nn.Module):
    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (
            nn.Linear(config.width, config.width) for _ in range(4)
        )

    def forward(self, rows: Tensor) -> Tensor:
        q, k, v = (
            p(rows).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return out


class _FeedForward(nn.Module):
    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(config.width, config.inner)
        self.output_dense = nn.Linear(config.inner, config.width)

    def forward(self, rows: Tensor) -> Tensor:
        out: Tensor = self.output_dense(F.gelu(self.intermediate_dense(rows)))
        return out


class _EncoderLayer(nn.Module):
    """Attention and feed-forward with residuals; norms before them (stable) or after."""

    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.stable = config.stable
        self.attention = _Attention(config)
        self.layer_norm = nn.LayerNorm(config.width)
        self.feed_forward = _FeedForward(config)
        self.final_layer_norm = nn.LayerNorm(config.width)

    def forward(self, rows: Tensor) -> Tensor:
        if self.stable:
            rows = rows + self.attention(self.layer_norm(rows))
            out: Tensor = rows + self.feed_forward(self.final_layer_norm(rows))
        else:
            rows = self.layer_norm(rows + self.attention(rows))
            out = self.final_layer_norm(rows + self.feed_forward(rows))
        return out


class _Encoder(nn.Module):
    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.stable = config.stable
        self.pos_conv_embed = _PositionalConv(config)
        self.layer_norm = nn.LayerNorm(config.width)
        self.layers = nn.Sequential(*(_EncoderLayer(config) for _ in range(config.layers)))

    def forward(self, rows: Tensor) -> Tensor:
        rows = rows + self.pos_conv_embed(rows)
        out: Tensor = (
            self.layer_norm(self.layers(rows))
            if self.stable
            else self.layers(self.layer_norm(rows))
        )
        return out


class HubertNetwork(nn.Module):
    """HuBERT encoder: (B, N) normalised samples -> (B, (N - 80) // 320, width) last-layer rows."""

    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.feature_extractor = _FeatureExtractor(config)
        self.feature_projection = _Projection(config)
        self.encoder = _Encoder(config)

    def forward(self, sound: Tensor) -> Tensor:
        rows: Tensor = self.encoder(self.feature_projection(self.feature_extractor(sound)))
        return rows


class HubertEncoder:
    """HuBERT features of sounds of any length."""

    def __init__(self, network: HubertNetwork, run: RunOptions) -> None:
        self.device = resolve_device(run.device)
        self.network = network.to(self.device)
        self.half = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(run.precision)

    def encode(self, speech: Speech) -> Iterator[Array32]:
        """Encode a sound.

        The sound is normalised by its own mean and variance, so it is read twice. It is split every
        20 s and rows attend to their own chunk only, as in Real3D-Portrait's preprocessing. Memory
        is therefore that of 20 s and the rows are the published ones.

        Returns:
            (T, width) float32 parts, row t at sample 320 t + 200: (N - 80) // 320 rows, at least 1
            (a shorter sound is padded with silence).
        """
        mean, scale = measure_normalisation(speech)
        pending: list[Array32] = []
        sample_count = row_count = 0
        chunk_samples = CHUNK_ROWS * STRIDE + RECEPTIVE_FIELD - STRIDE
        for block in speech.blocks():
            pending.append((block - mean) * scale)
            sample_count += len(block)
            while sample_count >= chunk_samples:
                sound = np.concatenate(pending)
                yield self._encode_chunk(sound[:chunk_samples])
                pending = [sound[CHUNK_ROWS * STRIDE :]]
                sample_count -= CHUNK_ROWS * STRIDE
                row_count += CHUNK_ROWS
        if sample_count >= RECEPTIVE_FIELD or not row_count:
            padding = np.zeros(max(0, RECEPTIVE_FIELD - sample_count), np.float32)
            sound = np.concatenate([*pending, padding])
            yield self._encode_chunk(sound)

    def _encode_chunk(self, sound: Array32) -> Array32:
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, self.half, enabled=self.half is not None),
        ):
            rows = self.network(torch.from_numpy(sound)[None].to(self.device))[0]
        result: Array32 = rows.float().cpu().numpy()
        return result


def measure_normalisation(speech: Speech) -> tuple[np.float32, np.float32]:
    """Return the mean of a sound and the factor 1 / sqrt(variance + 1e-7)."""
    total = sum_of_squares = 0.0
    count = 0
    for block in speech.blocks():
        samples = block.astype(np.float64)
        total += float(samples.sum())
        sum_of_squares += float(np.square(samples).sum())
        count += len(block)
    mean = total / max(count, 1)
    variance = max(0.0, sum_of_squares / max(count, 1) - mean * mean)
    return np.float32(mean), np.float32(1 / np.sqrt(variance + _EPS))


def convert_published_keys(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a Hugging Face checkpoint to our network's keys.

    Accepts HubertModel and HubertForCTC (prefix "hubert.").
    """
    converted = {}
    for key, tensor in tensors.items():
        name = key.removeprefix("hubert.")
        for new, old in (
            ("parametrizations.weight.original0", "weight_g"),
            ("parametrizations.weight.original1", "weight_v"),
        ):
            name = name.replace(new, old)  # as newer versions of torch save it
        if not name.startswith(_UNUSED):
            converted[name] = tensor
    return converted


def load_checkpoint(
    network: HubertNetwork, tensors: Mapping[str, Tensor], name: str
) -> HubertNetwork:
    """Load a published checkpoint into the network and return it in evaluation mode.

    Raises:
        WeightsError: names missing, unexpected or misshapen tensors.
    """
    state = {key: tensor.float() for key, tensor in convert_published_keys(tensors).items()}
    require_keys(state, network.state_dict(), name)
    network.load_state_dict(state, assign=True)  # no copy: the large model has 1.3 GB
    return network.eval().requires_grad_(False)


def load(run: RunOptions, name: str = "hubert-large") -> HubertEncoder:
    """Load hubert-large (1024 columns) or hubert-base (768 columns).

    Raises:
        WeightsError: the weights are not installed.
    """
    tensors = load_tensors(name, prefix="", offline=run.offline)
    with torch.device("meta"):
        network = HubertNetwork(CONFIGS[name])
    return HubertEncoder(load_checkpoint(network, tensors, name), run)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the network."""
    network = HubertNetwork(CONFIGS[checkpoint.name])
    load_checkpoint(network, checkpoint.tensors(""), checkpoint.name)
