"""Stages of FACEVID2VID.npz."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.golden import fill
from thcli.engines.facevid2vid import pose
from thcli.engines.facevid2vid.estimator import HeadEstimator, HeadPose, KeypointDetector
from thcli.engines.facevid2vid.networks import EncodedSource, OriginalGenerator, SpadeGenerator
from thcli.engines.shared.networks.checkpoint import without_spectral_norm
from thcli.engines.shared.networks.keypoints import movement_scale, relative_points

GAINS = {"fc_yaw": 0.2, "fc_pitch": 0.2, "fc_roll": 0.2, "fc_t": 0.02, "fc_exp": 0.02}


def detector_state(offset: int) -> dict[str, Tensor]:
    return fill.state(
        KeypointDetector().state_dict(), offset, 1.15, lambda key: key.startswith("down.weight")
    )


def estimator_state(offset: int) -> dict[str, Tensor]:
    """Fill an estimator; its heads are scaled down, so that angles stay small."""
    out = fill.state(HeadEstimator().state_dict(), offset, 1.15)
    for head, gain in GAINS.items():
        key = f"{head}.weight"
        out[key] = fill.value(key, tuple(out[key].shape), offset, gain)
    return out


def generator_fill(offset: int) -> fill.Fill:
    """Return a function that fills a generator as published.

    The SPADE blocks' convolutions have their spectral norm, after 20 power iterations.
    """
    plain = fill.by_value(offset)

    def normed(key: str, tensor: Tensor) -> None:
        if not key.endswith(("conv_0.weight", "conv_1.weight", "conv_s.weight")):
            plain(key, tensor)
            return
        weight = fill.value(f"{key}_orig", tuple(tensor.shape), offset)
        matrix = weight.double().flatten(1)
        u = fill.value(f"{key}_u", (len(matrix),), offset).double()
        u /= u.norm()
        for _ in range(20):
            v = matrix.T @ u
            v /= v.norm()
            u = matrix @ v
            u /= u.norm()
        state = {f"{key}_orig": weight, f"{key}_u": u.float(), f"{key}_v": v.float()}
        tensor.copy_(without_spectral_norm(state, "golden")[key])

    return normed


def head_stages(heads: dict[str, HeadPose], canonical: Tensor) -> dict[str, Tensor]:
    """Compute raw heads, angles, and the keypoints that they give."""
    out: dict[str, Tensor] = {}
    for name, head in heads.items():
        for part, tensor in zip(("yaw", "pitch", "roll", "t", "exp"), head, strict=True):
            out[f"he/{name}_{part}"] = tensor
        out[f"pose/{name}_degrees"] = head.angles()
        angles = head.angles().numpy()
        shift, expression = head.shift.numpy(), head.expression.view(-1, 15, 3).numpy()
        points = pose.keypoints(canonical[0].numpy(), angles, shift, expression)
        out[f"kp/{name}"] = torch.from_numpy(points)
        if name == "driving":
            out["pose/driving_rotation"] = torch.from_numpy(pose.rotation(angles))
            free = pose.keypoints(canonical[0].numpy(), [[20, 0, 0]], shift, expression)
            out["kp/driving_free_yaw20"] = torch.from_numpy(free)
    return out


def stages(offset: int) -> dict[str, Tensor]:
    detector = fill.network(KeypointDetector(), detector_state(offset))
    estimator = fill.network(HeadEstimator(), estimator_state(offset))
    brightness = {"source": 1.0, "initial": 0.25, "driving": 0.75}
    images = {
        name: fill.image("facevid2vid", i, offset, smooth=False) * light
        for i, (name, light) in enumerate(brightness.items())
    }
    out = {"kp/canonical": detector(images["source"])}
    heads = {name: estimator(image) for name, image in images.items()}
    out.update(head_stages(heads, out["kp/canonical"]))
    driving, initial, source = (
        out[f"kp/{name}"].numpy() for name in ("driving", "initial", "source")
    )
    out["norm/value"] = torch.from_numpy(relative_points(driving, initial, source))
    scale = movement_scale(source[0], initial[0])
    out["norm_scaled/value"] = torch.from_numpy(relative_points(driving, initial, source, scale))
    del detector, estimator
    fill.release_memory()
    for prefix in ("gen", "spade"):
        out.update(generator_stages(prefix, offset, images["source"], out))
        fill.release_memory()
    return out


def generator_stages(
    prefix: str, offset: int, image: Tensor, points: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Compute the stages of one of the two generators."""
    with fill.Unfilled():
        generator: OriginalGenerator | SpadeGenerator = (
            SpadeGenerator() if prefix == "spade" else OriginalGenerator()
        )
    large = fill.spade_blocks(generator.decoder) if isinstance(generator, SpadeGenerator) else []
    fill.prepare(generator, generator_fill(offset), large)
    source: EncodedSource = generator.encode(image, points["kp/source"])
    field = generator.motion(source, points["norm_scaled/value"])
    warped = generator.warp(source, field)
    out = {
        f"{prefix}/feature_3d": source.volume[:, ::4, ::4, ::4, ::4],
        f"{prefix}/mask": field.mask[:, :, ::2, ::4, ::4],
        f"{prefix}/deformation": field.deformation[:, ::2, ::2, ::2],
        f"{prefix}/occlusion": field.occlusion,
        f"{prefix}/warped_2d": warped[:, ::8, ::4, ::4],
        f"{prefix}/prediction": generator.synthesize(warped * field.occlusion)[..., ::2, ::2],
    }
    out = {name: tensor.clone() for name, tensor in out.items()}  # views would keep all
    if prefix == "gen":
        out["gen_abs/prediction"] = generator(source, points["kp/driving"])[..., ::2, ::2]
    return out
