"""Reenactment engines, refiners and editors on a device, called as the pipeline calls them.

A case builds its backend on the device of `run` and passes B images or frames through it. It
returns tensors that its networks leave on the device; what goes to the host is checked here.
Widths are small where a network has a parameter for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from thcli.core.options import EditorOptions, RefineOptions, RunOptions
from thcli.core.types import Array32, Face, Image
from thcli.diffusion.schedule import linear_schedule
from thcli.editors.clip.network import ClipSmall
from thcli.editors.clip.small import ClipSmallModel
from thcli.editors.dva import text_edit, text_losses
from thcli.editors.dva.diffusion_editor import DiffusionEditor
from thcli.editors.dva.editor import Dva
from thcli.editors.dva.encoder import Encoder
from thcli.editors.dva.network import NoiseEstimator, NoiseEstimatorShape
from thcli.editors.dva.small import SHAPE as DVA_SHAPE
from thcli.editors.dva.small import DvaSmall
from thcli.editors.dva.small_network import SmallDva
from thcli.engines.facevid2vid import networks as facevid2vid
from thcli.engines.facevid2vid.engine import FaceVid2VidEngine, FaceVid2VidNetworks
from thcli.engines.facevid2vid.estimator import HeadEstimator
from thcli.engines.facevid2vid.estimator import KeypointDetector as KeypointDetector3d
from thcli.engines.fomm import networks as fomm
from thcli.engines.fomm.engine import FommEngine
from thcli.engines.liveportrait.engine import LivePortraitEngine
from thcli.engines.liveportrait.networks import LivePortraitNetworks
from thcli.engines.monkeynet import networks as monkeynet
from thcli.engines.monkeynet.engine import MonkeyNetEngine
from thcli.engines.shared.networks.engine import TorchCropEngine
from thcli.engines.x2face.engine import X2FaceEngine
from thcli.engines.x2face.networks import X2Face
from thcli.faces.identity.network import IdentityNet
from thcli.faces.identity.small import IdentitySmall
from thcli.faces.model3d.deca import Deca, DecaEncoder
from thcli.refiners.fadm import small as fadm_small
from thcli.refiners.fadm.network import Diffusion, NetworkShape
from thcli.refiners.fadm.refiner import FadmRefiner, SamplingSettings

Outputs = dict[str, Tensor]
Case = Callable[[RunOptions, int], Outputs]
Network = TypeVar("Network", bound=nn.Module)


def evaluated(network: Network) -> Network:
    return network.eval().requires_grad_(False)


def image(side: int) -> Image:
    ramp = np.linspace(0, 255, side).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (side, side, 3)))


def face(side: int) -> Face:
    turn = np.linspace(0, 40, 468)
    mesh = np.stack([128 + 80 * np.cos(turn), 128 + 80 * np.sin(turn), 0 * turn], 1) * side / 256
    box = np.array([48, 48, 208, 208], np.float32) * side / 256
    return Face(box.astype(np.float32), 1.0, mesh=mesh.astype(np.float32))


def check_images(images: list[Image], batch: int, side: int) -> None:
    assert [i.shape for i in images] == [(side, side, 3)] * batch
    assert {i.dtype for i in images} == {np.dtype(np.uint8)}


def run_engine(engine: TorchCropEngine, batch: int, **targets: tuple[int, ...]) -> Outputs:
    """Encode a source, observe B frames and render B rows of `targets`, name -> shape."""
    side = engine.crop_size
    source = engine.encode_source(image(side), face(side))
    with engine.inference():
        rows = engine.extract_motion(engine.tensor([image(side)] * batch))
        given = {n: torch.zeros(batch, *s, device=engine.device) for n, s in targets.items()}
        rendered = engine.synthesize(source.encoded, given)
    assert rendered.shape == (batch, 3, side, side)
    assert {name: tuple(row.shape[1:]) for name, row in rows.items()} == dict(engine.shapes)
    return {**rows, "rendered": rendered}


def run_fomm(run: RunOptions, batch: int) -> Outputs:
    engine = FommEngine(evaluated(fomm.KeypointDetector()), evaluated(fomm.Generator()), run)
    return run_engine(engine, batch, value=(10, 2), jacobian=(10, 2, 2))


def run_monkeynet(run: RunOptions, batch: int) -> Outputs:
    detector, generator = evaluated(monkeynet.KeypointDetector()), evaluated(monkeynet.Generator())
    engine = MonkeyNetEngine(detector, generator, run)
    return run_engine(engine, batch, mean=(10, 2), var=(10, 2, 2))


def run_x2face(run: RunOptions, batch: int) -> Outputs:
    return run_engine(X2FaceEngine(evaluated(X2Face()), run), batch, code=(128,))


def run_facevid2vid(run: RunOptions, batch: int) -> Outputs:
    return run_engine(
        facevid2vid_engine(facevid2vid.SpadeGenerator(), run), batch, keypoints=(15, 3)
    )


def run_facevid2vid_original(run: RunOptions, batch: int) -> Outputs:
    generator = facevid2vid.OriginalGenerator()
    return run_engine(facevid2vid_engine(generator, run), batch, keypoints=(15, 3))


def facevid2vid_engine(generator: facevid2vid.Generator, run: RunOptions) -> FaceVid2VidEngine:
    networks = evaluated(KeypointDetector3d()), evaluated(HeadEstimator()), evaluated(generator)
    return FaceVid2VidEngine(FaceVid2VidNetworks(*networks), run)


def run_liveportrait(run: RunOptions, batch: int) -> Outputs:
    networks = LivePortraitNetworks.new(width_divisor=4)
    engine = LivePortraitEngine(LivePortraitNetworks._make(map(evaluated, networks)), run)
    return run_engine(engine, batch, keypoints=(21, 3))


def run_fadm(run: RunOptions, batch: int) -> Outputs:
    network = Diffusion(NetworkShape(width=32, multipliers=(1, 2), blocks=1, attention=(2,)))
    settings = SamplingSettings(steps=2, sampler="ddim", eta=1.0, strength=1.0)
    reader = Deca(evaluated(DecaEncoder(narrow=8)).to(run.device), run)
    return run_refiner(FadmRefiner(evaluated(network), reader, run, settings), batch)


def run_fadm_s(run: RunOptions, batch: int) -> Outputs:
    network = evaluated(Diffusion(fadm_small.SHAPE))
    refiner = FadmRefiner(network, None, run, None, fadm_small.SIDE)
    return run_refiner(refiner, batch)


def run_refiner(refiner: FadmRefiner, batch: int) -> Outputs:
    """Refine B frames with each sampler and each kind of noise."""
    refiner.schedule = linear_schedule(100)  # its own is read from tensors, here zeros
    side = refiner.crop_size
    crops, faces = [image(side)] * batch, [face(side)] * batch
    source = refiner.encode_source(crops[0], faces[0])
    rows = refiner.extract_attributes(crops, faces)
    references = [image(side)[::-1].copy()] * batch
    others = RefineOptions(sampler="ddpm", noise="frame"), RefineOptions(sampler="dpm++")
    for options in (RefineOptions(), *(others if refiner.half is None else ())):
        refined = refiner.refine(crops, source, rows, range(batch), options, references)
        check_images(refined, batch, side)
    with refiner.inference():
        pixels = torch.zeros(batch, 3, side, side, device=refiner.device)
        flow = torch.zeros(batch, 2, side, side, device=refiner.device)
        features = refiner.network.encode_frame(pixels, pixels, flow, known_warped=False)
        attributes = torch.from_numpy(rows).to(refiner.device)
        steps = torch.zeros(batch, dtype=torch.long, device=refiner.device)
        return {"predicted": refiner.network(pixels, steps, features, attributes)}


def run_dva(run: RunOptions, batch: int) -> Outputs:
    shape = NoiseEstimatorShape(width=32, times=(1, 2), blocks=1, attention=(2,))
    networks = evaluated(NoiseEstimator(shape)), evaluated(Encoder())
    return run_editor(Dva(*networks, run, EditorOptions(steps=2)), batch)


def run_dva_s(run: RunOptions, batch: int) -> Outputs:
    device = torch.device(run.device)
    identities = IdentitySmall(evaluated(IdentityNet()), device)
    editor = DvaSmall(evaluated(SmallDva(DVA_SHAPE)), identities, run, EditorOptions(steps=2))
    return run_editor(editor, batch)


def run_editor(editor: DiffusionEditor, batch: int) -> Outputs:
    """Encode, invert and decode B crops."""
    side = editor.crop_size
    crops, faces = [image(side)] * batch, [face(side)] * batch
    encode: Callable[..., tuple[Array32, Array32]] = editor.encode  # type: ignore[attr-defined]
    identities, landmarks = encode(crops, faces)
    assert identities.shape == (batch, sum(editor.part_lengths))
    latents = editor.invert(crops, identities[0], landmarks)
    assert latents.shape == (batch, 3, side, side) and latents.dtype == np.float32
    check_images(editor.decode(latents, identities[0], landmarks), batch, side)
    with editor.inference():
        identity = torch.from_numpy(identities[:1]).to(editor.device)
        points = torch.from_numpy(landmarks).to(editor.device)
        conditioned = editor.condition(identity, points, editor.table)
        x = torch.zeros(batch, 3, side, side, device=editor.device)
        return {"x0": conditioned.from_residual(conditioned.denoiser(x, 1).x0)}


def run_text_edit(run: RunOptions, batch: int) -> Outputs:
    """Take a step of a text edit of dva-s with clip-s, without its gradient; embed B images.

    PyTorch without CUDA has no gradients on a fake device.
    """
    device = torch.device(run.device)
    identities = IdentitySmall(evaluated(IdentityNet()), device)
    editor = DvaSmall(evaluated(SmallDva(DVA_SHAPE)), identities, run, EditorOptions(steps=2))
    model = ClipSmallModel(evaluated(ClipSmall()).to(device), device)
    with torch.no_grad():
        trajectory = editor.trajectory(image(editor.crop_size), face(editor.crop_size), None, 2)
        identity = text_edit.normalize_parts(trajectory.identity, editor.part_lengths)
        moved = trajectory.render(identity)
        before, after = (
            model.encode_image(text_edit.to_unit_range(images))
            for images in (trajectory.images, moved)
        )
        texts = [model.encode_text([text] * batch) for text in ("a face", "an old face")]
        direction = text_losses.text_direction(*texts)
        distance = text_losses.directional_distance(before, after, direction)
        loss = (
            text_losses.clip_loss(distance)
            + text_losses.identity_loss(identity, trajectory.identity)
            + text_losses.pixel_loss(trajectory.images, moved, trajectory.mask)
        )
        pixels = torch.zeros(batch, 3, 96, 96, device=device)
        embedded = model.encode_image(pixels)
    return {"images": embedded, "texts": texts[0], "loss": loss.expand(batch)}
