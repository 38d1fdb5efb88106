"""Every network with random weights and random inputs, to compare one device with another.

The numbers mean nothing by themselves; no probe is a result of a backend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thcli.audio.hubert import BASE, HubertConfig, HubertNetwork
from thcli.editors.dva.encoder import Encoder
from thcli.editors.dva.network import NoiseEstimator, NoiseEstimatorShape
from thcli.editors.dva.small import SHAPE as DVA_SMALL
from thcli.editors.dva.small_network import SmallDva
from thcli.engines.facevid2vid import estimator
from thcli.engines.facevid2vid import networks as facevid2vid
from thcli.engines.fomm import networks as fomm
from thcli.engines.liveportrait.networks import LivePortraitNetworks
from thcli.engines.monkeynet import networks as monkeynet
from thcli.engines.x2face.networks import X2Face
from thcli.faces.identity.network import IdentityNet
from thcli.faces.model3d.deca import DecaEncoder
from thcli.faces.parsing.network import ParseNet
from thcli.refiners.fadm import small as fadm_small
from thcli.refiners.fadm.network import Diffusion, NetworkShape
from thcli.voices.a2m.features import INPUT_COLUMNS
from thcli.voices.a2m.networks import MouthNetwork
from thcli.voices.diffused_heads import small as heads_small
from thcli.voices.diffused_heads.network import DiffusedHeads, DiffusedHeadsConfig
from thcli.voices.real3d.networks import AudioToMotion, CheckpointFlags

SIDE = 256
_SMALL_FADM = NetworkShape(width=32, multipliers=(1, 2), blocks=1, attention=(2,))
_SMALL_DVA = NoiseEstimatorShape(size=64, width=32, times=(1, 2), blocks=1, attention=(2,))
_SMALL_HUBERT = HubertConfig(64, 2, 4, 128, stable=True, front=32)
_SMALL_HEADS = DiffusedHeadsConfig(size=64, base_channels=32, channel_multipliers=(1, 2))


@dataclass(frozen=True, slots=True)
class Draw:
    """Source of the random inputs of a probe, the same for each device.

    batch: items.
    generator: on the CPU.
    device: of the inputs.
    small: images of half the side, where the network takes them.
    """

    batch: int
    generator: torch.Generator
    device: torch.device
    small: bool

    def images(self) -> Tensor:
        """Draw images (batch, 3, S, S) in 0..1, as engines take them."""
        side = SIDE // 2 if self.small else SIDE
        return self.unit(3, side, side)

    def unit(self, *shape: int) -> Tensor:
        """Draw (batch, *shape) uniformly from 0..1."""
        return torch.rand(self.batch, *shape, generator=self.generator).to(self.device)

    def normal(self, *shape: int) -> Tensor:
        """Draw (batch, *shape) from the standard normal distribution."""
        return torch.randn(self.batch, *shape, generator=self.generator).to(self.device)

    def steps(self) -> Tensor:
        """Return the diffusion step 50 for each item."""
        return torch.full((self.batch,), 50, dtype=torch.long, device=self.device)


@dataclass(frozen=True, slots=True)
class Probe:
    """One backend's networks and a call of them.

    build: makes the networks; True for small ones.
    call: runs them on inputs that it draws.
    folded: the backend folds norms and chooses convolutions (`fast.prepare_network`).
    """

    build: Callable[[bool], Sequence[nn.Module]]
    call: Callable[[Any, Draw], Tensor]
    folded: bool = True


def _fomm(small: bool) -> Sequence[nn.Module]:
    detector = fomm.KeypointDetector(width_divisor=_divisor(small))
    with torch.no_grad():  # invertible jacobians
        detector.get_parameter("jacobian.weight").mul_(0.1)
        detector.get_parameter("jacobian.bias").copy_(torch.tensor([1.0, 0.0, 0.0, 1.0] * 10))
    return detector, fomm.Generator(width_divisor=_divisor(small))


def _monkeynet(small: bool) -> Sequence[nn.Module]:
    detector = monkeynet.KeypointDetector(width_divisor=_divisor(small))
    return detector, monkeynet.Generator(width_divisor=_divisor(small))


def _divisor(small: bool) -> int:
    return 8 if small else 1


def _call_keypoints(networks: Any, draw: Draw) -> Tensor:
    detector, generator = networks
    images = draw.images()
    keypoints = detector(images)
    first = type(keypoints)(*(part[:1] for part in keypoints))
    source = generator.encode(images[:1], first)
    out: Tensor = generator(source, keypoints)
    return out


def _call_x2face(networks: Any, draw: Draw) -> Tensor:
    (network,) = networks
    images = draw.unit(3, SIDE, SIDE)
    out: Tensor = network(network.mosaic(images[:1]), network.code(images))
    return out


def _facevid2vid(small: bool) -> Sequence[nn.Module]:
    divisor = _divisor(small)
    return (
        estimator.KeypointDetector(width_divisor=divisor),
        estimator.HeadEstimator(width_divisor=divisor),
        facevid2vid.SpadeGenerator(width_divisor=divisor),
    )


def _call_facevid2vid(networks: Any, draw: Draw) -> Tensor:
    detector, head, generator = networks
    images = draw.images()
    points = detector(images)
    moved = points + 0.01 * head(images).shift[:, None]
    out: Tensor = generator(generator.encode(images[:1], points[:1]), moved)
    return out


def _call_liveportrait(networks: Any, draw: Draw) -> Tensor:
    made = LivePortraitNetworks(*networks)
    images = draw.images()
    points = made.observer(images).canonical.view(draw.batch, -1, 3)
    source = made.warping.encode(made.appearance.volume(images[:1]), points[:1])
    out: Tensor = made.generator(made.warping(source, points))
    return out


def _fadm(small: bool) -> Sequence[nn.Module]:
    return (Diffusion(_SMALL_FADM if small else NetworkShape()),)


def _call_fadm(networks: Any, draw: Draw) -> Tensor:
    (network,) = networks
    side = 64 if draw.small else fadm_small.SIDE
    images, noisy = draw.unit(3, side, side), draw.normal(3, side, side)
    features = network.encode_frame(images, images, draw.normal(2, side, side), known_warped=False)
    attributes = draw.normal(network.shape.attributes)
    out: Tensor = network(noisy, draw.steps() // 2, features, attributes)
    return out


def _dva(small: bool) -> Sequence[nn.Module]:
    if small:  # the encoder has one size, of 61 million parameters
        return (NoiseEstimator(_SMALL_DVA),)
    return NoiseEstimator(NoiseEstimatorShape()), Encoder()


def _call_dva(networks: Any, draw: Draw) -> Tensor:
    network, *encoders = networks
    side, face = network.shape.size, draw.normal(network.shape.embedding)
    for encoder in encoders:
        images = 2 * draw.unit(3, SIDE, SIDE) - 1
        face = encoder.encode_face(encoder.idnet(images), encoder.lndnet(images)).float()
    out: Tensor = network(draw.normal(3, side, side), draw.steps(), face)
    return out


def _call_dva_small(networks: Any, draw: Draw) -> Tensor:
    (network,) = networks
    side = network.shape.size
    looks = network.looker(2 * draw.unit(3, side, side) - 1)
    identity = torch.cat([draw.normal(512) / 512**0.5, nn.functional.normalize(looks.float())], 1)
    face = network.facer(identity, draw.unit(136))
    base = network.painter(face).float()
    out: Tensor = network.remainder(draw.normal(3, side, side), draw.steps(), face, base)
    return out


def _call_heads(networks: Any, draw: Draw) -> Tensor:
    (network,) = networks
    config = network.config
    identity, motion = (
        draw.normal(channels, config.size, config.size)
        for channels in (3, config.motion_channels * config.motion_frames)
    )
    audio = draw.normal(2 * config.audio_context + 1, config.audio_width)
    noisy = draw.normal(3, config.size, config.size)
    out: Tensor = network(noisy, draw.steps(), identity, motion, audio)
    return out


def _call_a2m(networks: Any, draw: Draw) -> Tensor:
    (network,) = networks
    out: Tensor = network(draw.normal(256, INPUT_COLUMNS))
    return out


def _call_real3d(networks: Any, draw: Draw) -> Tensor:
    (network,) = networks
    hertz = 100 + 200 * draw.unit(64)
    rows = draw.normal(64, network.flags.inputs)
    out: Tensor = network(rows, hertz, draw.normal(16, 8))
    return out


def _images_into(side: int) -> Callable[[Any, Draw], Tensor]:
    """Return the call of a network that takes images (B, 3, side, side) in 0..1 alone."""

    def call(networks: Any, draw: Draw) -> Tensor:
        out: Tensor = networks[0](draw.unit(3, side, side))
        return out

    return call


PROBES: dict[str, Probe] = {
    "fomm": Probe(_fomm, _call_keypoints),
    "monkeynet": Probe(_monkeynet, _call_keypoints),
    "x2face": Probe(lambda small: (X2Face(width_divisor=_divisor(small)),), _call_x2face),
    "facevid2vid": Probe(_facevid2vid, _call_facevid2vid),
    "liveportrait": Probe(
        lambda small: LivePortraitNetworks.new(width_divisor=_divisor(small)), _call_liveportrait
    ),
    "fadm": Probe(_fadm, _call_fadm),
    "fadm-s": Probe(lambda small: (Diffusion(fadm_small.SHAPE),), _call_fadm),
    "dva": Probe(_dva, _call_dva),
    "dva-s": Probe(lambda small: (SmallDva(DVA_SMALL),), _call_dva_small),
    "parse-s": Probe(lambda small: (ParseNet(),), _images_into(SIDE), folded=False),
    "identity-s": Probe(lambda small: (IdentityNet(),), _images_into(56), folded=False),
    "deca": Probe(lambda small: (DecaEncoder(8 if small else 1),), _images_into(224), folded=False),
    "hubert": Probe(
        lambda small: (HubertNetwork(_SMALL_HUBERT if small else BASE),),
        lambda networks, draw: networks[0](draw.normal(16_000)),
        folded=False,
    ),
    "a2m": Probe(lambda small: (MouthNetwork(),), _call_a2m, folded=False),
    "real3d": Probe(
        lambda small: (AudioToMotion(CheckpointFlags(inputs=64 if small else 1024)),),
        _call_real3d,
        folded=False,
    ),
    "dh-s": Probe(lambda small: (DiffusedHeads(heads_small.CONFIG),), _call_heads, folded=False),
    "diffused-heads": Probe(
        lambda small: (DiffusedHeads(_SMALL_HEADS if small else DiffusedHeadsConfig()),),
        _call_heads,
        folded=False,
    ),
}
