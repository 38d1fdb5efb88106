"""Parsers, identities, 3-D models, voices, HuBERT, metrics and CLIP on a device; see `cases`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from tests.devices.cases import Outputs, check_images, evaluated, face, image
from tests.devices.fake_cuda import CUDA
from thcli.audio.hubert import HubertConfig, HubertEncoder, HubertNetwork
from thcli.core.options import RefineOptions, RunOptions, VoiceOptions
from thcli.core.types import Array32
from thcli.editors.atlas.removers.network import RemoverNet
from thcli.editors.atlas.removers.parts import REMOVABLE
from thcli.engines.real3d.config import Real3DConfig
from thcli.engines.real3d.model import empty_model
from thcli.engines.shared.networks.compute import TorchBackend
from thcli.evaluate.metrics.attribute_scores import AttributeClassifier, build_network
from thcli.evaluate.metrics.networks.i3d import I3D
from thcli.evaluate.metrics.networks.inception import InceptionV3
from thcli.evaluate.metrics.networks.lpips import Lpips
from thcli.evaluate.metrics.networks.syncnet import SyncNet
from thcli.faces.identity.network import IdentityNet
from thcli.faces.identity.small import IdentitySmall
from thcli.faces.model3d.deca import Deca, DecaEncoder
from thcli.faces.model3d.deep3d import Deep3d, ReconNet
from thcli.faces.model3d.tddfa import COEFFICIENTS, MobileNet, Tddfa
from thcli.faces.parsing.network import ParseNet
from thcli.faces.parsing.small import ParseS
from thcli.refiners.resshift.network import Conditions, ShiftNetwork, shifts, walk
from thcli.refiners.resshift.refiner import SIDE, ShiftRefiner
from thcli.refiners.restoration.autoencoder import AutoencoderShape
from thcli.refiners.restoration.codeformer import CodeFormer, CodeFormerShape
from thcli.refiners.restoration.gfpgan import Gfpgan
from thcli.refiners.restoration.refiner import RESTORERS, RestorationRefiner
from thcli.refiners.restoration.restoreformer import RestoreFormer, RestoreFormerShape
from thcli.refiners.shared.residual import ResidualInput
from thcli.voices.a2m.features import INPUT_COLUMNS
from thcli.voices.a2m.networks import MouthNetwork
from thcli.voices.a2m.voice import AudioToMotionVoice
from thcli.voices.diffused_heads import small
from thcli.voices.diffused_heads.articulation import CODE_WIDTH
from thcli.voices.diffused_heads.network import DiffusedHeads, DiffusedHeadsConfig
from thcli.voices.diffused_heads.published import PublishedVoice
from thcli.voices.diffused_heads.speech_encoder import SpeechEncoder
from thcli.voices.diffused_heads.voice import SmallVoice
from thcli.voices.real3d.networks import AudioToMotion, CheckpointFlags
from thcli.voices.real3d.voice import Real3dVoice

RATE = 16000
STAMPS = np.arange(3, dtype=np.int64)
TIME_BASE = Fraction(1, 25)


@dataclass(frozen=True)
class Sound:
    """Noise as a Speech, one second for each item of the batch."""

    seconds: int
    rate: int = RATE

    @property
    def length(self) -> int:
        return self.seconds * RATE

    def blocks(self, seconds: float = 10.0) -> Iterator[Array32]:
        yield np.random.default_rng(0).normal(0, 0.1, self.length).astype(np.float32)


def run_parse_s(run: RunOptions, batch: int) -> Outputs:
    parser = ParseS(ParseNet().state_dict(), "parse-s", run)
    crops, faces = [image(256)] * batch, [face(256)] * batch
    assert parser.parse(crops, faces).shape == (batch, 19, 256, 256)
    maps = parser.features(crops)
    assert [len(depth) for depth in maps] == [batch] * 5
    with parser._inference():
        return {"logits": parser._net(parser._tensor(crops))}


def run_removers(run: RunOptions, batch: int) -> Outputs:
    network = evaluated(RemoverNet(8)).to(run.device)
    texture = torch.zeros(batch, 3, 40, 88, device=run.device)
    rest = [
        torch.zeros(*shape, device=run.device)
        for shape in ((batch, 1, 40, 88), (batch, len(REMOVABLE)), (batch, 2, 40, 88))
    ]
    found = network(texture, texture, *rest)
    return {"target": found.target, "mask": found.mask, "texture": found.apply(texture)}


def run_resshift_s(run: RunOptions, batch: int) -> Outputs:
    refiner = ShiftRefiner(evaluated(ShiftNetwork((8, 8, 16))), run)
    grey = np.full((SIDE, SIDE, 3), 0.5, np.float32)
    view = ResidualInput(grey, grey, grey, grey[..., 0])
    assert refiner.predict_residual(view, 0, RefineOptions(steps=3)).shape == grey.shape
    with refiner.inference():
        images = torch.zeros(batch, 3, SIDE, SIDE, device=refiner.device)
        conditions = Conditions(images, images, images, images[:, :1]).channels()
        return {"residual": walk(refiner.network, images, conditions, shifts(), [40, 20])}


def run_restoration(run: RunOptions, batch: int) -> Outputs:
    base = AutoencoderShape(width=32, multipliers=(1, 2), code=8, codes=8)
    transformer = CodeFormerShape(base, embedding=16, heads=2, layers=1, fused=((0, "32"),))
    asking = RestoreFormerShape(replace(base, decoder_blocks=3), heads=4)
    networks = {
        "gfpgan": Gfpgan(32, 1 / 16),
        "codeformer": CodeFormer(transformer),
        "restoreformer": RestoreFormer(asking),
    }
    out = {}
    for name, network in networks.items():
        restorer = RESTORERS[name]
        refiner = RestorationRefiner(evaluated(network), restorer, run, 32)
        crops = [image(32)] * batch
        rows = refiner.extract_attributes(crops, [None] * batch)
        check_images(refiner.refine(crops, None, rows, range(batch), RefineOptions()), batch, 32)
        with refiner.inference():
            pixels = torch.zeros(batch, 3, 32, 32, device=refiner.device)
            out[name] = restorer.restore(refiner.network, pixels, 0.5)
    return out


def run_identity_s(run: RunOptions, batch: int) -> Outputs:
    encoder = IdentitySmall(evaluated(IdentityNet()), torch.device(run.device))
    assert encoder.encode_crops([image(112)] * batch).shape == (batch, 512)
    return {"rows": encoder._net(torch.zeros(batch, 3, 56, 56, device=run.device))}


def run_deca(run: RunOptions, batch: int) -> Outputs:
    model = Deca(evaluated(DecaEncoder(narrow=8)).to(run.device), run)
    pixels = torch.zeros(batch, 3, 256, 256, device=run.device)
    assert model.extract_attributes(pixels).shape == (batch, 56)
    assert len(model.fit([image(256)] * batch, [face(256)] * batch).rotation) == batch
    return {"rows": model._regressor._network(pixels[..., :224, :224])}


def run_deep3d(run: RunOptions, batch: int) -> Outputs:
    model = Deep3d(evaluated(ReconNet(narrow=8)).to(run.device), run)
    assert len(model.fit([image(256)] * batch, [face(256)] * batch).rotation) == batch
    return {"rows": model._regressor._network(torch.zeros(batch, 3, 224, 224, device=run.device))}


def run_tddfa(run: RunOptions, batch: int) -> Outputs:
    network = evaluated(MobileNet(0.5)).to(run.device)
    moments = np.ones(COEFFICIENTS, np.float32)
    model = Tddfa(network, moments, moments, "tddfa", run)
    assert len(model.fit([image(256)] * batch, [face(256)] * batch).rotation) == batch
    return {"rows": network(torch.zeros(batch, 3, 120, 120, device=run.device))}


def run_hubert(run: RunOptions, batch: int) -> Outputs:
    encoder = HubertEncoder(evaluated(HubertNetwork(HUBERT)), run)
    rows = np.concatenate(list(encoder.encode(Sound(batch))))
    assert rows.shape == ((batch * RATE - 80) // 320, HUBERT.width) and rows.dtype == np.float32
    with torch.autocast("cuda", encoder.half, enabled=encoder.half is not None):
        return {"rows": encoder.network(torch.zeros(batch, 4000, device=run.device))}


HUBERT = HubertConfig(64, 2, 4, 128, stable=True, front=32)


def run_a2m(run: RunOptions, batch: int) -> Outputs:
    network = evaluated(MouthNetwork(4, 4))
    voice = AudioToMotionVoice(network, run)
    (motion,) = voice.speak(Sound(batch), STAMPS, TIME_BASE, VoiceOptions())
    assert len(motion) == len(STAMPS)
    return {"rows": network(torch.zeros(batch, 64, INPUT_COLUMNS, device=run.device))}


def run_real3d(run: RunOptions, batch: int) -> Outputs:
    network = evaluated(AudioToMotion(CheckpointFlags(inputs=HUBERT.width)))
    voice = Real3dVoice(network, HubertEncoder(evaluated(HubertNetwork(HUBERT)), run), run)
    (motion,) = voice.speak(Sound(batch), STAMPS, TIME_BASE, VoiceOptions())
    assert motion.arrays["expression"].shape == (len(STAMPS), 64)
    hubert = torch.zeros(batch, 64, HUBERT.width, device=run.device)
    hertz, noise = hubert[..., 0], torch.zeros(batch, 16, 8, device=run.device)
    return {"rows": voice.network(hubert, hertz, noise)}


def run_dh_s(run: RunOptions, batch: int) -> Outputs:
    network = evaluated(DiffusedHeads(small.CONFIG))
    voice = SmallVoice(network, AudioToMotionVoice(evaluated(MouthNetwork(4, 4)), run), run)
    codes = iter([np.zeros((2 * small.CONFIG.audio_context + 1, CODE_WIDTH), np.float32)] * batch)
    check_images(list(voice.frames(image(256), codes, VoiceOptions().diffusion)), batch, 256)
    return run_heads(network, batch, run)


def run_diffused_heads(run: RunOptions, batch: int) -> Outputs:
    config = DiffusedHeadsConfig(
        size=64, base_channels=32, channel_multipliers=(1, 2), blocks_per_level=1
    )
    network = evaluated(DiffusedHeads(config))
    voice = PublishedVoice(network, evaluated(SpeechEncoder()), run, steps=10)
    frames = voice.render_frames(image(64), Sound(1), np.arange(batch), TIME_BASE, VoiceOptions())
    check_images(list(frames), batch, 64)
    return run_heads(network, batch, run)


def run_heads(network: DiffusedHeads, batch: int, run: RunOptions) -> Outputs:
    config = network.config
    x = torch.zeros(batch, 3, config.size, config.size, device=run.device)
    motion = torch.zeros(
        batch, config.motion_channels * config.motion_frames, *x.shape[2:], device=run.device
    )
    audio = torch.zeros(batch, 2 * config.audio_context + 1, config.audio_width, device=run.device)
    steps = torch.zeros(batch, dtype=torch.long, device=run.device)
    return {"predicted": network(x, steps, x, motion, audio)}


def run_lpips(run: RunOptions, batch: int) -> Outputs:
    network = evaluated(Lpips()).to(run.device)
    pixels = torch.zeros(batch, 3, 64, 64, device=run.device)
    return {"distances": network(pixels, pixels)}


def run_set_metrics(run: RunOptions, batch: int) -> Outputs:
    inception = evaluated(InceptionV3()).to(run.device)
    i3d = evaluated(I3D()).to(run.device)
    return {
        "inception": inception(torch.zeros(batch, 3, 299, 299, device=run.device)),
        "i3d": i3d(torch.zeros(batch, 3, 16, 224, 224, device=run.device)),
    }


def run_syncnet(run: RunOptions, batch: int) -> Outputs:
    network = evaluated(SyncNet()).to(run.device)
    return {
        "mouths": network.encode_mouths(torch.zeros(batch, 3, 5, 224, 224, device=run.device)),
        "sounds": network.encode_sound(torch.zeros(batch, 1, 13, 20, device=run.device)),
    }


def run_judge(run: RunOptions, batch: int) -> Outputs:
    device = torch.device(run.device)
    classifier = AttributeClassifier(evaluated(build_network(4)).to(device), device)
    assert classifier.logits([image(192)] * batch).shape == (batch, 40)
    return {"logits": classifier._net(torch.zeros(batch, 3, 96, 96, device=device))}


def run_real3d_engine(run: RunOptions, batch: int) -> Outputs:
    model = evaluated(empty_model(Real3DConfig(image_size=256, width_divisor=4))).to(CUDA)
    side = model.config.image_size

    def given(*shape: int) -> Tensor:
        return torch.zeros(batch, *shape, device=CUDA)

    precision = TorchBackend(run)
    with precision.inference():
        canonical = model.canonical_planes(given(3, side, side))
        residual = model.residual_planes(*(given(3, side, side) for _ in range(3)))
        noise = model.ray_noise(batch=batch)
        with torch.autocast("cuda", enabled=False):  # as the engine
            rendered = model.render(
                canonical.float() + residual.float(),
                given(25),
                noise.depth.to(CUDA),
                noise.importance.to(CUDA),
            )
        picture = model.compose(
            rendered,
            given(3, side, side),
            given(3, side, side),
            given(6, side, side),
            given(68, 3),
            given(68, 3),
            0.9,
        )
    assert picture.shape == (batch, 3, side, side)
    return {"planes": residual, "picture": picture}
