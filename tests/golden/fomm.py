"""Stages of FOMM.npz."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.golden import fill
from thcli.engines.fomm.networks import Generator, KeypointDetector, Keypoints
from thcli.engines.shared.networks.keypoints import (
    movement_scale,
    relative_jacobians,
    relative_points,
)


def detector_state(offset: int) -> dict[str, Tensor]:
    """Fill a detector as published, with invertible jacobians."""
    out = fill.state(
        KeypointDetector().state_dict(), offset, 1.15, lambda key: key.startswith("down.weight")
    )
    out["jacobian.weight"] = fill.value(
        "jacobian.weight", tuple(out["jacobian.weight"].shape), offset, 0.3
    )
    out["jacobian.bias"] = out["jacobian.bias"] + torch.tensor([1.0, 0.0, 0.0, 1.0] * 10)
    return out


def generator_state(offset: int) -> dict[str, Tensor]:
    return fill.state(Generator().state_dict(), offset, 1.15, lambda key: "down.weight" in key)


def stages(offset: int) -> dict[str, Tensor]:
    detector = fill.network(KeypointDetector(), detector_state(offset))
    images = {
        name: fill.image("fomm", i, offset)
        for i, name in enumerate(("source", "initial", "driving"))
    }
    out = {"down/source": detector.down(images["source"])}
    points = {name: detector(image) for name, image in images.items()}
    for name, keypoints in points.items():
        out[f"kp/{name}_value"], out[f"kp/{name}_jacobian"] = keypoints
    value, jacobian = (
        [points[n][i].numpy() for n in ("driving", "initial", "source")] for i in (0, 1)
    )
    scale = movement_scale(value[2][0], value[1][0])
    out["norm/value"] = torch.from_numpy(relative_points(value[0], value[1], value[2]))
    out["norm/jacobian"] = torch.from_numpy(
        relative_jacobians(jacobian[0], jacobian[1], jacobian[2])
    )
    out["norm_scaled/value"] = torch.from_numpy(
        relative_points(value[0], value[1], value[2], scale)
    )
    driving = Keypoints(out["norm_scaled/value"], out["norm/jacobian"])
    weights = generator_state(offset)
    for prefix, aligned in (("rel", False), ("rel_ac", True)):
        generator = fill.network(Generator(aligned=aligned), weights)
        source = generator.encode(images["source"], points["source"])
        field = generator.motion(source, driving)
        out[f"{prefix}/sparse_deformed"] = field.sparse_deformed[..., ::2, ::2]
        out[f"{prefix}/mask"], out[f"{prefix}/deformation"] = field.mask, field.deformation
        out[f"{prefix}/occlusion"] = field.occlusion
        out[f"{prefix}/deformed"] = generator.deform(images["source"], field)[..., ::4, ::4]
        out[f"{prefix}/prediction"] = generator.synthesize(source, field)[..., ::2, ::2]
        if not aligned:
            out["abs/prediction"] = generator(source, points["driving"])[..., ::2, ::2]
        del generator, source
        fill.release_memory()
    return out
