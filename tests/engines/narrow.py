"""Engines of crops with narrow random networks, and what they animate."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from thcli.core.options import LivePortraitOptions, MotionOptions, RunOptions, ViewOptions
from thcli.core.types import Face, Frame, Image, Motion
from thcli.engines.facevid2vid.engine import FaceVid2VidEngine, FaceVid2VidNetworks
from thcli.engines.facevid2vid.estimator import HeadEstimator
from thcli.engines.facevid2vid.estimator import KeypointDetector as CanonicalDetector
from thcli.engines.facevid2vid.networks import OriginalGenerator, SpadeGenerator
from thcli.engines.fomm import networks as fomm
from thcli.engines.fomm.engine import FommEngine
from thcli.engines.liveportrait import networks as liveportrait
from thcli.engines.liveportrait.engine import LivePortraitEngine
from thcli.engines.monkeynet import networks as monkeynet
from thcli.engines.monkeynet.engine import MonkeyNetEngine
from thcli.engines.shared.networks.engine import TorchCropEngine
from thcli.engines.x2face.engine import X2FaceEngine
from thcli.engines.x2face.networks import X2Face

RUN = RunOptions(device="cpu", threads=1)
NARROW = 8


def trained(network: Any) -> Any:
    """Fill a network as if trained: norms that act, keypoints that depend on the image.

    Jacobians are invertible.
    """
    generator = torch.Generator().manual_seed(3)
    for name, tensor in network.state_dict().items():
        noise = (
            torch.randn(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor
        )
        if name.endswith("running_var"):
            tensor.copy_(0.5 + 0.5 * noise.abs())
        elif tensor.is_floating_point() and tensor.dim() <= 1:
            tensor.copy_(1 + 0.1 * noise if name.endswith("weight") else 0.05 * noise)
        elif tensor.is_floating_point() and not name.endswith("down.weight"):
            tensor.copy_(noise / np.sqrt(np.prod(tensor.shape[1:])))
        if name == "jacobian.bias":
            tensor.add_(torch.tensor([1.0, 0.0, 0.0, 1.0]).repeat(len(tensor) // 4))
        if name == "kp.weight":  # keypoints that stand apart
            tensor.mul_(20)
        if name.removeprefix("detector.") in (
            "jacobian.weight",
            "fc_exp.weight",
            "fc_t.weight",
            "fc_scale.weight",
        ):
            tensor.mul_(0.05)
        if name.endswith("fc_scale.bias"):
            tensor.add_(1)
    return network.eval().requires_grad_(False)


def make_fomm(run: RunOptions) -> TorchCropEngine:
    return FommEngine(
        trained(fomm.KeypointDetector(width_divisor=NARROW)),
        trained(fomm.Generator(width_divisor=NARROW)),
        run,
    )


def make_monkeynet(run: RunOptions) -> TorchCropEngine:
    parts = (
        monkeynet.KeypointDetector(width_divisor=NARROW),
        monkeynet.Generator(width_divisor=NARROW),
    )
    return MonkeyNetEngine(trained(parts[0]), trained(parts[1]), run)


def make_x2face(run: RunOptions) -> TorchCropEngine:
    return X2FaceEngine(trained(X2Face(width_divisor=NARROW)), run)


def make_facevid2vid(run: RunOptions, view: ViewOptions | None = None) -> FaceVid2VidEngine:
    parts = (
        CanonicalDetector(width_divisor=32),
        HeadEstimator(width_divisor=32),
        OriginalGenerator(width_divisor=32),
    )
    return FaceVid2VidEngine(
        FaceVid2VidNetworks(trained(parts[0]), trained(parts[1]), trained(parts[2])), run, view
    )


def make_spade(run: RunOptions) -> TorchCropEngine:
    parts = (
        CanonicalDetector(width_divisor=32, reduced=False),
        HeadEstimator(width_divisor=32),
        SpadeGenerator(width_divisor=32),
    )
    return FaceVid2VidEngine(
        FaceVid2VidNetworks(trained(parts[0]), trained(parts[1]), trained(parts[2]), beta=True), run
    )


def make_liveportrait(run: RunOptions) -> TorchCropEngine:
    """Create the engine without stitching, whose untrained network moves a still face."""
    networks = liveportrait.LivePortraitNetworks._make(
        trained(part) for part in liveportrait.LivePortraitNetworks.new(width_divisor=32)
    )
    return LivePortraitEngine(networks, run, LivePortraitOptions(stitching=False))


ENGINES: dict[str, Callable[[RunOptions], TorchCropEngine]] = {
    "fomm": make_fomm,
    "monkeynet": make_monkeynet,
    "x2face": make_x2face,
    "facevid2vid": make_facevid2vid,
    "liveportrait": make_liveportrait,
}


SIDES = {"liveportrait": 512}  # of the others: 256


PLAIN = MotionOptions(smooth=0)


def image(seed: int) -> Image:
    """Create a (256, 256, 3) image of soft colours."""
    small = np.random.default_rng(seed).random((8, 8, 3)).astype(np.float32)
    large = torch.nn.functional.interpolate(
        torch.from_numpy(small).permute(2, 0, 1)[None], (256, 256), mode="bilinear"
    )
    return np.asarray((large[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy())


FACE = Face(np.array([60, 60, 190, 190], np.float32), 0.9)


def clip(count: int, still: bool = False) -> list[Frame]:
    return [
        Frame(image(10 if still else 10 + i), 40 * i, Fraction(1, 1000), i) for i in range(count)
    ]


def observe(engine: TorchCropEngine, frames: list[Frame], lost: tuple[int, ...] = ()) -> Motion:
    return engine.observe(frames, [None if i in lost else FACE for i in range(len(frames))])
