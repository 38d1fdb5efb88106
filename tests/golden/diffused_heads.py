"""Stages of DIFFUSED_HEADS.npz."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.golden import fill
from thcli.diffusion.noise import INITIAL_NOISE_STEP, NoiseSource
from thcli.diffusion.samplers import Denoiser, ddpm_mean
from thcli.diffusion.schedule import Schedule, cosine_schedule
from thcli.voices.diffused_heads.autoregressive import (
    SamplerState,
    published_frame_sampler,
    published_schedule,
    sample_autoregressively,
    sliding_windows,
)
from thcli.voices.diffused_heads.network import OFFICIAL, DiffusedHeads, DiffusedHeadsConfig

SMALL = DiffusedHeadsConfig(size=32, base_channels=32, head_channels=16, audio_width=32)
HALFWAY = 50  # step of 100


def given(index: int, offset: int, *shape: int) -> Tensor:
    return torch.from_numpy(fill.normal(f"diffused_heads/input-{index}", shape, offset))


def twice(rows: Tensor) -> Tensor:
    return torch.cat([rows, rows])


def network_stages(shape: DiffusedHeadsConfig, offset: int) -> dict[str, Tensor]:
    """Compute every stage of one network."""
    with fill.Unfilled():
        net = DiffusedHeads(shape)
    large = () if shape == SMALL else (net.input_blocks, net.middle_block, net.output_blocks)
    fill.prepare(net, fill.by_value(offset), large)
    side = shape.size
    noisy, heard, fresh = (
        given(0, offset, 1, 3, side, side),
        given(3, offset, 1, 5, shape.audio_width),
        given(4, offset, 1, 3, side, side),
    )
    identity, motion = (
        2 * given(i, offset, 1, c, side, side).sigmoid() - 1 for i, c in ((1, 3), (2, 6))
    )
    out: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(module: nn.Module, inputs: object, value: Tensor) -> None:
            out[name] = value

        return hook

    parts = {
        "t_emb": net.time_embed,
        "a_emb": net.audio_embed,
        "enc_first": net.input_blocks[1],
        "enc": net.input_blocks[-1],
        "mid": net.middle_block,
    }
    hooks = [part.register_forward_hook(keep(name)) for name, part in parts.items()]
    schedule = published_schedule(100)
    # both calls in one batch: the large network is filled and prepared once
    steps = torch.tensor([500, int(schedule.timesteps[HALFWAY])])
    predicted = net(twice(noisy), steps, twice(identity), twice(motion), twice(heard))
    out = {name: value[:1] for name, value in out.items()} | {"unet": predicted[:1]}
    for hook in hooks:
        hook.remove()
    denoiser = Denoiser(lambda x, t: predicted[1:][t == steps[1]], schedule)
    mean, log_variance = ddpm_mean(schedule, HALFWAY, noisy, denoiser(noisy, HALFWAY))
    out |= {
        "step_mean": mean,
        "step_logvar": log_variance,
        "step_x": mean + fresh * torch.exp(log_variance / 2),
    }
    if shape == SMALL:
        out |= video(net, identity, offset)
    return out


def video(net: DiffusedHeads, identity: Tensor, offset: int) -> dict[str, Tensor]:
    """Generate four frames of fifty steps."""
    side = net.config.size
    heard, start = (
        given(5, offset, 1, 4, net.config.audio_width)[0],
        given(6, offset, 1, 4, 3, side, side)[0],
    )
    steps = given(7, offset, 4, 50, 1, 3, side, side)

    def noise(frame: int) -> NoiseSource:
        return lambda k: start[frame : frame + 1] if k == INITIAL_NOISE_STEP else steps[frame, k]

    windows = (torch.stack(window)[None] for window in sliding_windows(heard, 2))
    frames = sample_autoregressively(
        published_frame_sampler(net, 50),
        identity,
        windows,
        noise,
        SamplerState.initial(identity, 2),
    )
    return {f"video_{number}": frame for number, frame in enumerate(frames)}


def tables(schedule: Schedule) -> dict[str, Tensor]:
    named = {
        "beta": schedule.betas,
        "log_beta_tilde_clipped": schedule.log_posterior_variance,
        "coef1_x0": schedule.x0_from_x,
        "coef2_x0": schedule.x0_from_noise,
        "coef1_q": schedule.mean_from_x0,
        "coef2_q": schedule.mean_from_x,
    }
    return {name: torch.from_numpy(table) for name, table in named.items()}


def stages(offset: int) -> dict[str, Tensor]:
    out = {f"small/{name}": value for name, value in network_stages(SMALL, offset).items()}
    fill.release_memory()
    for name, value in network_stages(OFFICIAL, offset).items():
        if name == "enc_first":
            value = value[:, ::16, ::8, ::8]
        elif name in ("enc", "mid"):
            value = value[:, ::8, ::2, ::2]
        elif value.dim() == 4:
            value = value[:, :, ::2, ::2]
        out[f"full/{name}"] = value
    out |= {
        f"schedule1000/{name}": table
        for name, table in tables(cosine_schedule(1000, dtype="float32")).items()
    }
    hundred = published_schedule(100)
    out |= {f"schedule100/{name}": table for name, table in tables(hundred).items()}
    return out | {"schedule100/timesteps": torch.from_numpy(hundred.timesteps)}
