"""The restoration networks compute the public code's numbers, with parameters filled by name.

The numbers were made by TencentARC/GFPGAN, sczhou/CodeFormer and wzhouxiff/RestoreFormer, run with
the parameters and inputs of tests/golden/fill.py: `fill.state` of each network's own tensors,
`image` here as the input, every n-th pixel kept where `thinned`. Commits are not recorded. The
public CodeFormer fixes its sizes; those of the narrow one were put in their place.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.golden import fill
from tests.golden.cases import max_errors
from thcli.refiners.restoration.autoencoder import AutoencoderShape
from thcli.refiners.restoration.codeformer import CodeFormer, CodeFormerShape
from thcli.refiners.restoration.gfpgan import Gfpgan
from thcli.refiners.restoration.restoreformer import (
    RestoreFormer,
    RestoreFormerShape,
    flat_keys,
    layer_names,
)

GOLDEN = Path(__file__).parent / "golden"
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


def image(name: str, side: int) -> Tensor:
    """Return the input (1, 3, side, side) in -1..1."""
    small = 1 / (1 + np.exp(-fill.normal(f"{name}/input-0", (1, 3, 16, 16), 0)))
    size = (side, side)
    large = nn.functional.interpolate(torch.from_numpy(small), size, mode="bilinear")
    return large * 2 - 1


def thinned(out: Tensor) -> Tensor:
    step = max(1, out.shape[-1] // 64)
    return out[..., ::step, ::step]


def run_gfpgan(side: int, narrow: float) -> Stages:
    network = Gfpgan(side, narrow)
    large = (
        network.conv_body_down,
        network.conv_body_up,
        network.final_linear,
        network.condition_scale,
        network.condition_shift,
        network.stylegan_decoder.style_convs,
    )
    fill.prepare(network, fill.by_value(0), large)
    return {"restored": thinned(network(image("gfpgan", side)))}


def run_codeformer(shape: CodeFormerShape, side: int) -> Stages:
    network = fill.prepare(CodeFormer(shape), fill.by_value(0))
    pixels = image("codeformer", side)
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


def run_restoreformer(shape: RestoreFormerShape, side: int) -> Stages:
    network = RestoreFormer(shape)
    own = network.state_dict()
    published = fill.state({published_key(k, shape): value for k, value in own.items()}, 0)
    network.load_state_dict(flat_keys(published, shape.autoencoder), assign=True)
    del own, published
    fill.prepare(network, large=(network.encoder.blocks, network.decoder.blocks))
    pixels = image("restoreformer", side)
    return {"codes": network.encode(pixels)[0], "restored": thinned(network(pixels))}


NARROW: dict[str, Callable[[], Stages]] = {
    "gfpgan-narrow": lambda: run_gfpgan(64, 0.125),
    "codeformer-narrow": lambda: run_codeformer(NARROW_CODEFORMER, 64),
    "restoreformer-narrow": lambda: run_restoreformer(NARROW_RESTOREFORMER, 64),
}
PUBLISHED: dict[str, Callable[[], Stages]] = {
    "gfpgan": lambda: run_gfpgan(512, 1.0),
    "codeformer": lambda: run_codeformer(CodeFormerShape(), 512),
    "restoreformer": lambda: run_restoreformer(RestoreFormerShape(), 512),
}


def errors(name: str, compute: Callable[[], Stages]) -> dict[str, float]:
    with torch.inference_mode():
        ours = {key: stage.numpy() for key, stage in compute().items()}
    with np.load(GOLDEN / f"{name}.npz") as file:
        reference = {key: file[key] for key in file.files}
    assert set(ours) == set(reference)
    return max_errors(ours, reference)


@pytest.mark.parametrize("name", sorted(NARROW))
def test_narrow_networks_give_the_public_codes_numbers(name: str) -> None:
    found = errors(name, NARROW[name])
    assert max(found.values()) <= 1e-4, found


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_sizes_give_the_public_codes_numbers(name: str) -> None:
    found = errors(name, PUBLISHED[name])
    assert max(found.values()) <= 1e-4, found
