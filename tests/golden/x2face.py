"""Stages of X2FACE.npz."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.golden import fill
from thcli.engines.x2face.networks import WIDTHS, PoseMap, X2Face

# keys of the pose maps in the published pose-driven variant: those of the sampler's deepest level
POSE_PREFIX = "pix2pixSampler.netG.model." + "submodule." * len(WIDTHS)


def model_state(offset: int) -> dict[str, Tensor]:
    return fill.state(X2Face().state_dict(), offset)


def pose_state(offset: int) -> dict[str, Tensor]:
    keys = {f"{POSE_PREFIX}{key}": value for key, value in PoseMap().state_dict().items()}
    filled = fill.state(keys, offset)
    return {key.removeprefix(POSE_PREFIX): value for key, value in filled.items()}


def stages(offset: int) -> dict[str, Tensor]:
    images = [fill.image("x2face", i, offset) for i in range(3)]
    sources, driving = torch.cat(images[:2]), images[2]
    weights = model_state(offset)
    out: dict[str, Tensor] = {}
    for prefix, aligned in (("orig", True), ("today", False)):
        model = fill.network(X2Face(aligned=aligned), weights)
        raw, unwrap_code = model.pix2pixUnwrapped(sources[:1])
        code = model.code(driving)
        field = model.decode_offsets(code)
        out |= {
            f"{prefix}/unwrap_raw": raw[..., ::4, ::4],
            f"{prefix}/unwrap_code": unwrap_code,
            f"{prefix}/drive_raw": field[..., ::4, ::4],
            f"{prefix}/drive_code": F.relu(code)[..., None, None],
            f"{prefix}/embedded_1": model.unwrap(sources[:1])[0][..., ::4, ::4],
            f"{prefix}/embedded_2": model.mosaic(sources, floor=0.0)[..., ::4, ::4],
            f"{prefix}/driving_grid": model.sampling_grid(torch.tanh(field))[:, ::4, ::4],
            f"{prefix}/result_1": model(model.mosaic(sources[:1]), code)[..., ::2, ::2],
            f"{prefix}/result_2": model(model.mosaic(sources), code)[..., ::2, ::2],
        }
        del model
        fill.release_memory()
    del weights
    model = fill.network(X2Face(), model_state(offset))
    poses = fill.network(PoseMap(), pose_state(offset))
    wanted = torch.from_numpy(0.3 * fill.normal("x2face/input-3", (1, 3), offset))
    code = poses.move(model.code(driving), wanted)
    out["orig/pose_code"] = code[..., None, None]
    out["orig/pose_result"] = model(model.mosaic(sources[:1]), code)[..., ::2, ::2]
    return out
