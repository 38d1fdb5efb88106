"""Stages of FADM.npz."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from tests.golden import fill
from thcli.core.options import RunOptions
from thcli.diffusion import process
from thcli.diffusion.samplers import Denoiser, sample_ddim, sample_ddpm
from thcli.faces.model3d.deca import Deca, DecaEncoder
from thcli.refiners.fadm.agcn import ConditionImages, gain_shares, level_gains
from thcli.refiners.fadm.network import OFFICIAL, Diffusion, NetworkShape

SMALL = NetworkShape(width=32, blocks=1)
KEPT = ("betas", "alphas", "sqrt", "log", "post", "ddim", "inv_freq")  # tables keep their values
STEPS = 100


def given(index: int, offset: int, *shape: int) -> Tensor:
    return torch.from_numpy(fill.normal(f"FADM/input-{index}", shape, offset))


def image(index: int, offset: int, *shape: int) -> Tensor:
    return torch.from_numpy(1 / (1 + np.exp(-fill.normal(f"FADM/input-{index}", shape, offset))))


def filled(shape: NetworkShape, offset: int) -> Diffusion:
    def keep(key: str) -> bool:
        return key.endswith("inv_freq") or key.startswith(tuple(f"diffusion.{n}" for n in KEPT))

    with fill.Unfilled():
        network = Diffusion(shape)
    large = (network.denoise_fn.downs, network.denoise_fn.mid, network.denoise_fn.ups)
    filler = fill.by_value(offset, "diffusion.", keep)
    return fill.prepare(network, filler, large if shape == OFFICIAL else ())


def record_outputs(parts: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Record a subsample of each module's last output while the network runs."""
    out: dict[str, Tensor] = {}
    for name, part in parts.items():

        def hook(
            module: nn.Module, inputs: tuple[Tensor, ...], value: Tensor, name: str = name
        ) -> None:
            step = max(1, value.shape[3] // 8)
            out[name] = value[:, ::7, step // 2 :: step, step // 3 :: step].contiguous()

        part.register_forward_hook(hook)
    return out


def small_stages(network: Diffusion, offset: int) -> dict[str, Tensor]:
    """Compute network, schedule and losses on one batch."""
    coarse, real = image(0, offset, 2, 3, 256, 256), image(1, offset, 2, 3, 256, 256)
    attributes, t = 0.5 * given(2, offset, 2, 56), torch.tensor([7, 63])
    noisy, fresh = (given(i, offset, 2, 3, 256, 256) for i in (3, 4))
    net, agcn, schedule = network.denoise_fn, network.denoise_fn.condition_conv, network.schedule
    images = ConditionImages.of(coarse, real)
    time = net.time_mlp(t)
    colours = [agcn.pre_conv_color(seen) for seen in (images.generated, images.driving)]
    w = agcn.motion_cond(attributes, time)
    low, high = level_gains(w)
    out = {
        "temb/sin": net.time_mlp[0](t),
        "temb/mlp": time,
        "cond/warping32": images.levels[0][..., ::2, ::2],
        "agcn/w": w,
    }
    out |= {
        "cond/driving256": s8(images.driving),
        "agcn/gen_feat": s16(colours[0]),
        "agcn/drv_feat": s16(colours[1]),
    }
    for level, feature in enumerate(agcn.level_features(images, colours[1])):
        down, up = gain_shares(level)
        out |= {f"agcn/w_{level}": down * low + up * high, f"agcn/level_{level}": s16(feature)}
    read = network.encode_conditions(images)
    out |= dict.fromkeys(
        ("agcn/color_loss", "agcn/feature_loss", "loss/color"), read.colour_loss[None]
    )
    out["agcn/out"] = s8(agcn(read, attributes, time))
    parts = (
        {f"down{i}": net.downs[i] for i in (0, 1, 2, 9)}
        | {f"mid{i}": net.mid[i] for i in (0, 1)}
        | {f"up{i}": net.ups[i] for i in (2, 3, 16)}
    )
    inner = record_outputs(parts)
    eps = network(noisy, t, read, attributes)
    out |= {f"unet/{name}": value for name, value in inner.items()} | {"unet/eps": s16(eps)}
    sample = process.diffuse(schedule, real, t, fresh)
    out |= {
        "q/sample": s16(sample),
        "q/start": s16(process.predict_x0(schedule, noisy, t, eps, "eps")),
        "q/posterior_mean": s16(process.posterior_mean(schedule, real, noisy, t)),
    }
    far = (fresh - network(sample, t, read, attributes)).abs()
    return out | {"loss/norm": far.sum()[None], "loss/norm_per_element": far.mean()[None]}


def sampled(network: Diffusion, offset: int) -> dict[str, Tensor]:
    """Run both samplers on a small image."""
    n = 64
    coarse, start, attributes = (
        image(10, offset, 1, 3, n, n),
        given(12, offset, 1, 3, n, n),
        0.5 * given(11, offset, 1, 56),
    )
    read, schedule = network.encode_conditions(ConditionImages.of(coarse)), network.schedule
    free, clipped = (
        Denoiser(lambda x, t: network(x, t, read, attributes), schedule, clamp=clip)
        for clip in (False, True)
    )
    whole, tail, ddpm = [start], [start], [start]

    def noise(step: int) -> Tensor:
        return given(100 + step, offset, 1, 3, n, n)

    def every_eleventh(step: int, x: Tensor) -> None:
        if step % (STEPS // 10 | 1) == 0:
            whole.append(x)

    sample_ddim(free, start, noise, eta=1.0, callback=every_eleventh)
    sample_ddim(free, start, noise, eta=1.0, start=2, callback=lambda _, x: tail.append(x))
    sample_ddpm(clipped, start, noise, start=2, callback=lambda _, x: ddpm.append(x))
    frames = torch.cat(whole)
    return {
        "tail3/eta1_frames": torch.cat(tail)[..., 1::3, 2::3],
        "tail3/ddpm_frames": torch.cat(ddpm)[..., 1::3, 2::3],
        "sample100/frames": frames[..., 1::5, 2::5],
        "sample100/shape": torch.tensor(frames.shape).float(),
    }


def official(offset: int) -> dict[str, Tensor]:
    network = filled(OFFICIAL, offset)
    read = network.encode_conditions(ConditionImages.of(image(31, offset, 1, 3, 64, 64)))
    eps = network(
        given(30, offset, 1, 3, 64, 64), torch.tensor([42]), read, 0.5 * given(32, offset, 1, 56)
    )
    return {"default/eps": eps[..., 1::3, 2::3], "default/color_loss": read.colour_loss[None]}


def attributes(offset: int) -> dict[str, Tensor]:
    """Compute DECA's attributes, from 224 and from 256 pixels."""
    named = {f"E_flame.{key}": value for key, value in DecaEncoder().state_dict().items()}
    state = {
        key.removeprefix("E_flame."): value for key, value in fill.state(named, offset).items()
    }
    encoder = fill.network(DecaEncoder(), state)

    def blocks(index: int, side: int) -> Tensor:
        return (
            image(index, offset, 2, 3, 8, 8).repeat_interleave(side, 2).repeat_interleave(side, 3)
        )

    both = torch.from_numpy(
        Deca.from_tensors(state, RunOptions(device="cpu")).extract_attributes(blocks(41, 32))
    )
    features = encoder.encoder(blocks(40, 28)).flatten(1)
    return {
        "deca/feat": features[:, ::8],
        "deca/params": encoder.layers(features),
        "deca/attr_from_256": both[:1] - both[1:],
    }


def s8(v: Tensor) -> Tensor:
    return v[:, :, 3::8, 5::8].clone()  # a view would keep all of it


def s16(v: Tensor) -> Tensor:
    return v[:, :, 3::16, 5::16].clone()


def stages(offset: int) -> dict[str, Tensor]:
    network = filled(SMALL, offset)
    out = small_stages(network, offset) | sampled(network, offset)
    for name in (
        "betas",
        "alphas_cumprod",
        "alphas_cumprod_prev",
        "posterior_variance",
        "posterior_log_variance_clipped",
        "posterior_mean_coef1",
        "posterior_mean_coef2",
        "ddim_c1",
    ):
        out[f"sched/{name}"] = network.get_buffer(name)[::3]
    out["sched/ddim_c1_last"] = network.get_buffer("ddim_c1")[-1:]
    return out | official(offset) | attributes(offset)
