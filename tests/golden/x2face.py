"""Stages of X2FACE.npz."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.golden import fill
from thcli.engines.x2face.networks import X2Face


def model_state(offset: int, *, posed: bool = False) -> dict[str, Tensor]:
    return fill.state(X2Face(posed=posed).state_dict(), offset)


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
    posed = fill.network(X2Face(posed=True), model_state(offset, posed=True))
    wanted = torch.from_numpy(0.3 * fill.normal("x2face/input-3", (1, 3), offset))
    code = posed.with_pose(posed.code(driving), wanted)
    out["orig/pose_code"] = code[..., None, None]
    out["orig/pose_result"] = posed(posed.mosaic(sources[:1]), code)[..., ::2, ::2]
    return out
