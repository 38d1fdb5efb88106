"""Stages of DVA.npz."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor, nn

from tests.golden import fill
from thcli.diffusion import process
from thcli.diffusion.blocks import sinusoidal_embedding
from thcli.diffusion.samplers import Denoiser, ddim_step
from thcli.diffusion.schedule import linear_schedule
from thcli.editors.dva import align, text_losses
from thcli.editors.dva.attributes import IdentityDirections
from thcli.editors.dva.encoder import Encoder
from thcli.editors.dva.losses import compute_losses
from thcli.editors.dva.network import OFFICIAL, NoiseEstimator, NoiseEstimatorShape
from thcli.editors.dva.parsing import VIDEO_BACKGROUND, foreground, preprocess
from thcli.editors.dva.sampling import (
    condition_denoiser,
    invert,
    render,
    schedule,
    step_each,
    trajectory,
)
from thcli.editors.shared.celeba import CELEBA

SMALL = NoiseEstimatorShape(width=32)
STEP = 7  # of 20
TIMES = (37, 500)
BEARD_ROW, STRENGTH = 22, 0.25
SHOWN = {
    "in0": ("input_blocks", 0),
    "in1": ("input_blocks", 1),
    "in3": ("input_blocks", 3),
    "in13": ("input_blocks", 13),
    "out2": ("output_blocks", 2),
    "out5": ("output_blocks", 5),
    "out14": ("output_blocks", 14),
}

Given = Callable[..., Tensor]


def inputs(offset: int) -> Given:
    return lambda index, *shape: torch.from_numpy(fill.normal(f"DVA/input-{index}", shape, offset))


def sampled_every_16th(images: Tensor) -> Tensor:
    return images[:, :, 3::16, 5::16].clone()  # a view would keep all of it


def sampled_every_32nd(images: Tensor) -> Tensor:
    return images[:, :, 3::32, 5::32].clone()


def stages(offset: int) -> dict[str, Tensor]:
    given = inputs(offset)
    with fill.Unfilled():
        network, encoder, official = NoiseEstimator(SMALL), Encoder(), NoiseEstimator(OFFICIAL)
    fill.prepare(network, fill.by_value(offset))
    fill.prepare(encoder, fill.by_value(offset, "encoder."), list(encoder.idnet.backbone.body))
    fill.remember(network, encoder.idnet.backbone, encoder.lndnet.backbone, encoder.bgnet.backbone)
    x = 2 * (1 / (1 + torch.exp(-given(0, 2, 3, 256, 256)))) - 1
    identity, points = encoder.idnet(x), encoder.lndnet(x)
    logits = given(50, 2, 19, 32, 32).repeat_interleave(16, 2).repeat_interleave(16, 3)
    out = {
        "id/feat": identity,
        "id/prenorm": encoder.idnet.encode_unnormalized(x),
        "lnd/raw136": encoder.lndnet.predict_points(x),
        "lnd/feat": points,
        "z/face": encoder(x),
        "z/swap": encoder(x, x.flip(0)),
        "z/id_avg": identity.mean(0, keepdim=True),
        "z/face_avg": encoder.encode_face(identity.mean(0, keepdim=True), points),
        **{name: value.clone() for name, value in parsing(encoder, x, logits).items()},
        "temb/128": sinusoidal_embedding(torch.tensor([0, 37, 999]), 128),
        "temb/32": sinusoidal_embedding(torch.tensor([0, 37, 999]), 32),
        **tables(),
    }
    del encoder.bgnet
    fill.release_memory()
    out |= network_stages(network, given, out["z/face"], encoder(x))
    out |= sampling_stages(network, given, x, out["z/face"], out["z/face_avg"])
    out |= training_stages(network, given, x, out["z/face"], foreground(logits))
    out |= attribute_stages(
        network, encoder, given, x, points, out["z/id_avg"], foreground(logits, VIDEO_BACKGROUND)
    )
    out |= text_stages(network, encoder, given, x[:1], foreground(logits[:1]))
    del network, encoder
    large = (official.input_blocks, official.middle_block, official.output_blocks)
    fill.prepare(official, fill.by_value(offset), large)
    out["default/eps"] = official(given(20, 1, 3, 64, 64), torch.tensor([500]), given(21, 1, 512))[
        :, :, 1::3, 2::3
    ]
    return out | align_stages(offset)


def parsing(encoder: Encoder, x: Tensor, logits: Tensor) -> dict[str, Tensor]:
    net = encoder.bgnet
    auxiliary = net.backbone.auxiliary_logits(preprocess(x))
    return {
        "bg/logits": net.logits(x)[:, :, 5::32, 7::32],
        "bg/logits16": auxiliary[0][:, :, 5::64, 7::64],
        "bg/logits32": auxiliary[1][:, :, 5::64, 7::64],
        "bg/mask": net(x)[:, :, ::8, ::8],
        "bg/mask_video": net(x, VIDEO_BACKGROUND)[:, :, ::8, ::8],
        "bg/rule_mask": foreground(logits)[:, :, 3::8, 5::8],
        "bg/rule_mask_video": foreground(logits, VIDEO_BACKGROUND)[:, :, 3::8, 5::8],
    }


def tables() -> dict[str, Tensor]:
    twenty = schedule(20)
    named = {
        "map20": twenty.timesteps,
        "acp20": twenty.alpha_bar,
        "betas20": twenty.betas,
        "map5": schedule(5).timesteps,
        "map3": schedule(3).timesteps,
        "acp1000": schedule(1000).alpha_bar[::37],
    }
    return {f"sched/{name}": torch.from_numpy(table).float() for name, table in named.items()}


def network_stages(
    network: NoiseEstimator, given: Given, face: Tensor, from_pictures: Tensor
) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}

    def keep(name: str, module: object, inputs: object, value: Tensor) -> None:
        step = max(1, value.shape[3] // 8)
        shown = value[:, ::7] if name == "mid" else value[:, ::7, 1::step, 2::step]
        out[f"unet/{name}"] = shown.clone()

    parts: dict[str, nn.Module] = {
        name: getattr(network, list_name)[i] for name, (list_name, i) in SHOWN.items()
    }
    parts["mid"] = network.middle_block
    hooks = [part.register_forward_hook(partial(keep, name)) for name, part in parts.items()]
    noisy, times = given(1, 2, 3, 256, 256), torch.tensor(TIMES)
    out["unet/eps"] = sampled_every_16th(network(noisy, times, face))
    for hook in hooks:
        hook.remove()
    return out | {"unet/eps_from_img": sampled_every_16th(network(noisy, times, from_pictures))}


def sampling_stages(
    network: NoiseEstimator, given: Given, x: Tensor, face: Tensor, face_avg: Tensor
) -> dict[str, Tensor]:
    noisy, walker = given(1, 2, 3, 256, 256), condition_denoiser(network, face, 20)
    table, found = walker.schedule, walker(noisy, STEP)
    after = float(table.alpha_bar_next[STEP])
    return {
        "ddim/step_sample": sampled_every_16th(ddim_step(table, STEP, noisy, found)),
        "ddim/step_xstart": sampled_every_16th(found.x0),
        "ddim/step0_sample": sampled_every_16th(ddim_step(table, 0, noisy, walker(noisy, 0))),
        "ddim/inv_sample": sampled_every_16th(
            after**0.5 * found.x0 + (1 - after) ** 0.5 * found.noise
        ),
        "ddim/inv_xstart": sampled_every_16th(found.x0),
        "ddim/inv_loop3": sampled_every_16th(invert(network, x, face_avg, 3)),
        "ddim/render2": sampled_every_16th(
            (render(network, given(8, 2, 3, 256, 256), face_avg, 2) + 1) / 2
        ),
    }


def training_stages(
    network: NoiseEstimator, given: Given, x: Tensor, face: Tensor, mask: Tensor
) -> dict[str, Tensor]:
    table, index = linear_schedule(1000), torch.tensor(TIMES)
    noises = given(2, *x.shape), given(3, *x.shape)
    found = compute_losses(network, table, x, face, mask, index, noises)
    return {
        "q/sample": sampled_every_16th(process.diffuse(table, x, index, noises[0])),
        "loss/mse": found.simple,
        "loss/xT_reg": found.regularization,
        "loss/total": found.total[None],
        "loss/x0_estimated": sampled_every_16th(found.faces[0]),
        "loss/x0_estimated2": sampled_every_16th(found.faces[1]),
    }


def attribute_stages(
    network: NoiseEstimator,
    encoder: Encoder,
    given: Given,
    x: Tensor,
    points: Tensor,
    average: Tensor,
    mask: Tensor,
) -> dict[str, Tensor]:
    spread = (0.04 * (given(5, 1, 512).abs() + 0.5))[0].numpy()
    directions = IdentityDirections(
        (0.05 * given(6, 40, 512)).numpy(), (0.02 * given(4, 1, 512))[0].numpy(), spread
    )
    wanted = {CELEBA[BEARD_ROW]: STRENGTH}
    move_published = torch.from_numpy(directions.move_published(average[0].numpy(), wanted))[None]
    face = encoder.encode_face(move_published, points)
    made = (render(network, given(8, 2, 3, 256, 256), face, 2) + 1) / 2
    return {
        "edit/cls_zid": move_published,
        "edit/cls_zface": face,
        "edit/cls_zid_raw": torch.from_numpy(
            directions.move_unnormalized(average[0].numpy(), wanted)
        )[None],
        "edit/cls_paste": sampled_every_16th(made * mask + (x + 1) / 2 * (1 - mask)),
    }


def text_stages(
    network: NoiseEstimator, encoder: Encoder, given: Given, frame: Tensor, mask: Tensor
) -> dict[str, Tensor]:
    start, points = encoder.idnet(frame), encoder.lndnet(frame)
    walker = condition_denoiser(network, encoder.encode_face(start, points), 2)
    kept = torch.cat(trajectory(walker, given(9, 1, 3, 256, 256)))
    changed = start + 0.05 * given(7, 1, 512)
    changed = changed / changed.norm()
    move_published = Denoiser(
        condition_denoiser(network, encoder.encode_face(changed, points), 2).model, schedule(2)
    )
    steps = step_each(move_published, kept[:-1])
    loss_id = text_losses.identity_loss(changed, start)[None]
    loss_l1 = text_losses.pixel_loss(kept[1:], steps, mask)[None]

    def unit(rows: Tensor) -> Tensor:
        return nn.functional.normalize(rows, dim=-1)

    before, after = unit(given(30, 2, 512)), unit(given(30, 2, 512) + 0.5 * given(31, 2, 512))
    texts = unit(given(32, 80, 512)), unit(given(32, 80, 512) + 0.5 * given(33, 80, 512))
    direction = text_losses.text_direction(*texts)
    distance = text_losses.directional_distance(before, after, direction)[None]
    loss_clip = text_losses.clip_loss(distance)
    return {
        "clip/start_inverted": sampled_every_16th(
            invert(network, frame, encoder.encode_face(start, points), 2)
        ),
        "clip/forward_recon": sampled_every_32nd(kept),
        "clip/backward": sampled_every_32nd(steps),
        "clip/loss_id": loss_id,
        "clip/loss_l1_x100": 100 * loss_l1,
        "clip/text_direction": direction,
        "clip/directional": distance,
        "clip/loss_clip": loss_clip,
        "clip/total_3_1_5": 3 * loss_clip + loss_id + 5 * loss_l1,
    }


def align_stages(offset: int) -> dict[str, Tensor]:
    points = np.full((7, 68, 2), (100.0, 110.0))
    points[:, 36:42], points[:, 42:48], points[:, 48], points[:, 54] = (
        (80, 90),
        (120, 90),
        (85, 130),
        (115, 130),
    )
    points += 2 * fill.normal("DVA/input-40", (7, 68, 2), offset).astype(np.float64)
    centre, axis = align.crop_axes(points)
    crop_quads = align.crop_quads(points)
    perspectives = np.stack([align.perspective_coefficients(quad) for quad in crop_quads])
    small = np.rint(255 / (1 + np.exp(-fill.normal("DVA/input-41", (10, 10, 3), offset)))).astype(
        np.uint8
    )
    image = np.asarray(Pillow.fromarray(small).resize((200, 220), Pillow.Resampling.BILINEAR))
    crop = align.extract_crop(image, crop_quads[0], 256)
    pasted = align.paste_crop(image, 255 - crop, perspectives[0])
    named = {
        "c_raw": centre,
        "x_raw": axis,
        "quads": crop_quads,
        "coeffs": perspectives,
        "crop": crop[3::16, 5::16],
        "paste": pasted[3::9, 5::9],
    }
    return {
        f"align/{name}": torch.from_numpy(np.ascontiguousarray(values)).float()
        for name, values in named.items()
    }
