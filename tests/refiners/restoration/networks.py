"""Stages of the restoration networks' golden files, with parameters filled by name.

Numbers of equal stages are computed once.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from tests.golden import fill
from thcli.refiners.restoration.autoencoder import AutoencoderShape
from thcli.refiners.restoration.codeformer import CodeFormer, CodeFormerShape
from thcli.refiners.restoration.gfpgan import Gfpgan
from thcli.refiners.restoration.restoreformer import (
    RestoreFormer,
    RestoreFormerShape,
    flat_keys,
    layer_names,
)

NARROW_CODEFORMER = CodeFormerShape(
    AutoencoderShape(width=32, multipliers=(1, 1, 1, 1, 1, 2), code=32, codes=32),
    latent=4,
    embedding=64,
    layers=2,
    fused=((1, "32"), (2, "16"), (3, "8"), (4, "4")),
)
NARROW_RESTOREFORMER = RestoreFormerShape(
    AutoencoderShape(width=32, multipliers=(1, 2), code=32, codes=32, decoder_blocks=3), heads=4
)
Stages = dict[str, Tensor]


def image(name: str, side: int, offset: int) -> Tensor:
    """Return the input (1, 3, side, side) in -1..1."""
    small = 1 / (1 + np.exp(-fill.normal(f"{name}/input-0", (1, 3, 16, 16), offset)))
    size = (side, side)
    large = nn.functional.interpolate(torch.from_numpy(small), size, mode="bilinear")
    return large * 2 - 1


def thinned(out: Tensor) -> Tensor:
    step = max(1, out.shape[-1] // 64)
    return out[..., ::step, ::step]


def run_gfpgan(side: int, narrow: float, offset: int = 0) -> Stages:
    with fill.Unfilled():
        network = Gfpgan(side, narrow)
    large = (
        network.conv_body_down,
        network.conv_body_up,
        network.final_linear,
        network.condition_scale,
        network.condition_shift,
        network.stylegan_decoder.style_convs,
    )
    fill.prepare(network, fill.by_value(offset), large)
    return {"restored": thinned(network(image("gfpgan", side, offset)))}


def run_codeformer(shape: CodeFormerShape, side: int, offset: int = 0) -> Stages:
    with fill.Unfilled():
        network = CodeFormer(shape)
    fill.prepare(network, fill.by_value(offset))
    network.encode = cache(network.encode)  # type: ignore[method-assign]  # of one image
    pixels = image("codeformer", side, offset)
    codes, _ = network.encode(pixels)
    logits = network.logits(codes)
    return {
        "codes": codes,
        "logits": logits if side == 64 else logits[:, ::16, ::8],
        "restored": thinned(network(pixels, 0.5)),
        "unguided": thinned(network(pixels, 0.0)),
    }


def published_key(key: str, shape: RestoreFormerShape) -> str:
    """Return the published name of a tensor of ours."""
    names = {ours: theirs for theirs, ours in layer_names(shape.autoencoder)}
    parts = key.split(".")
    layer, rest = ".".join(parts[:3]), ".".join(parts[3:])
    return f"{names[layer]}.{rest.replace('conv_out.', 'nin_shortcut.')}" if layer in names else key


def run_restoreformer(shape: RestoreFormerShape, side: int, offset: int = 0) -> Stages:
    with fill.Unfilled():
        network = RestoreFormer(shape)
    own = network.state_dict()
    published = fill.state({published_key(k, shape): value for k, value in own.items()}, offset)
    network.load_state_dict(flat_keys(published, shape.autoencoder), assign=True)
    del own, published
    fill.prepare(network, large=(network.encoder.blocks, network.decoder.blocks))
    network.encode = cache(network.encode)  # type: ignore[method-assign]  # of one image
    pixels = image("restoreformer", side, offset)
    return {"codes": network.encode(pixels)[0], "restored": thinned(network(pixels))}


def gfpgan(offset: int) -> Stages:
    return run_gfpgan(512, 1.0, offset)


def codeformer(offset: int) -> Stages:
    return run_codeformer(CodeFormerShape(), 512, offset)


def restoreformer(offset: int) -> Stages:
    return run_restoreformer(RestoreFormerShape(), 512, offset)
