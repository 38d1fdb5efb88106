"""Stages of REAL3D_A2M.npz."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.golden import fill
from thcli.voices.real3d.networks import AudioToMotion, coarse_pitch


def stages(offset: int) -> dict[str, Tensor]:
    network = fill.network(AudioToMotion(), fill.state(AudioToMotion().state_dict(), offset))
    vae = network.vae
    assert vae.prior_flow is not None

    def given(index: int, *shape: int) -> Tensor:
        return torch.from_numpy(fill.normal(f"real3d_a2m/input-{index}", shape, offset))

    hubert, hertz = given(0, 2, 64, 1024), (150 + 120 * given(1, 2, 64)).clamp(min=0)
    mouth, y = given(2, 2, 1).sigmoid(), given(3, 2, 32, 64)
    encoder_noise, prior_noise = given(4, 2, 16, 8), given(5, 2, 16, 8)
    blink = (given(6, 2, 32, 1) > 1)[..., 0].long().repeat_interleave(2, dim=1)
    mask, steps = torch.ones(2, 1, 32), torch.ones(2, 1, 8)
    mask[1, :, -4:] = 0
    condition = network.condition(hubert, hertz, blink, mouth)
    coarse = vae.g_pre_net(condition)
    code = vae.encoder(y.mT, mask, coarse, encoder_noise)
    trained = vae(y.mT, mask, condition, encoder_noise)
    return {
        "f0_coarse": coarse_pitch(hertz).int(),
        "infer/mel_encoder": network.mel_encoder(hubert[:, ::2].mT),
        "infer/pitch_encoder": network.pitch_encoder(
            network.pitch_embed(coarse_pitch(hertz)[:, ::2]).mT
        ),
        "infer/cond": condition.mT,
        "infer/g_sqz": coarse,
        "infer/pred": (vae.sample(condition, 0.2 * prior_noise) * mask).mT,
        "infer/pred_defaults": network(hubert, hertz, prior_noise),
        "flow/reverse": vae.prior_flow.reverse(0.2 * prior_noise, steps, coarse),
        "flow/forward": vae.prior_flow(prior_noise, steps, coarse),
        "decoder/out": vae.decoder(prior_noise, torch.ones(2, 1, 32), condition),
        "encoder/z": code.z,
        "encoder/m": code.mean,
        "encoder/logs": code.log_std,
        "encoder/mask": code.mask,
        "train/pred": trained.prediction,
        "train/loss_kl": trained.kl[None],
        "train/m_q": trained.mean,
        "train/z_p": trained.prior,
    }
