"""Stages of LIVEPORTRAIT.npz and LIVEPORTRAIT_CV.npz."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from tests.golden import fill
from thcli.core import geometry
from thcli.core.options import LivePortraitOptions
from thcli.core.types import Array, Array32, Crop, Image
from thcli.engines.liveportrait import video
from thcli.engines.liveportrait.engine import assemble
from thcli.engines.liveportrait.mask import soft_mask
from thcli.engines.liveportrait.networks import (
    EncodedSource,
    LivePortraitNetworks,
    Warping,
)
from thcli.engines.liveportrait.observer import MotionOutput
from thcli.engines.liveportrait.ratios import openings
from thcli.engines.liveportrait.retargeting import RetargetingNetworks
from thcli.engines.liveportrait.transfer import (
    HeadMotion,
    TransferGains,
    rotation,
    transfer_absolute,
    transfer_relative,
    transfer_relative_to_rest,
)
from thcli.engines.shared.networks.keypoints import movement_scale
from thcli.engines.shared.networks.volume import DenseMotion
from thcli.faces.crops import align

NORMED = ("conv_0.weight", "conv_1.weight", "conv_s.weight")
Case = tuple[TransferGains, LivePortraitOptions, bool]


def state(network: nn.Module, offset: int) -> dict[str, Tensor]:
    """Fill a network as published: the SPADE blocks' convolutions have their spectral norm."""
    like: dict[str, Tensor] = {}
    for key, tensor in network.state_dict().items():
        if not key.endswith(NORMED):
            like[key] = tensor
            continue
        like[f"{key}_orig"] = tensor
        like[f"{key}_u"], like[f"{key}_v"] = (
            torch.empty(len(tensor)),
            torch.empty(tensor[0].numel()),
        )
    return fill.state(like, offset)


def published(offset: int) -> Iterator[dict[str, Tensor]]:
    """Fill the states of the seven networks, each on its own and one at a time."""
    with torch.device("meta"):
        empty = LivePortraitNetworks.new()
    return (state(network, offset) for network in empty)


class GoldenInputs:
    """Numbers, images and points of an offset."""

    def __init__(self, offset: int):
        self.offset = offset

    def normal(self, index: int, *shape: int) -> Array32:
        return fill.normal(f"LIVEPORTRAIT/input-{index}", shape, self.offset)

    def image(self, index: int) -> Tensor:
        return torch.from_numpy(1 / (1 + np.exp(-self.normal(index, 1, 3, 256, 256))))

    def points(self, index: int, count: int = 203) -> Array32:
        """Create a face of 203 or 106 points."""
        q = 60 * self.normal(index, count, 2).astype(np.float64)
        left, right, mouth, angle = (
            (slice(0, 24), slice(24, 48), slice(48, 108), 0.25)
            if count == 203
            else (slice(33, 43), slice(87, 97), slice(52, 72), -0.35)
        )
        q[left] = 0.15 * q[left] + (-60, -50)
        q[right] = 0.15 * q[right] + (60, -50)
        q[mouth] = 0.3 * q[mouth] + (0, 80)
        c, s = np.cos(angle), np.sin(angle)
        return np.asarray(q @ np.array([[c, s], [-s, c]]) + (480, 390), np.float32)

    def rows(self, base: int) -> tuple[HeadMotion, Array32, Array32]:
        """Create five frames: motion, canonical keypoints, openings."""
        moves = HeadMotion(
            1 + 0.05 * self.normal(base, 5, 1, 1)[..., 0],
            rotation(10 * self.normal(base + 1, 5, 3)),
            0.02 * self.normal(base + 2, 5, 1, 21, 3)[:, 0],
            0.05 * self.normal(base + 3, 5, 1, 3)[:, 0],
        )
        eyes = np.abs(0.3 + 0.05 * self.normal(base + 5, 5, 1, 2)[:, 0])
        lips = np.abs(0.1 * self.normal(base + 6, 5, 1, 1)[:, 0])
        return (
            moves,
            0.3 * self.normal(base + 4, 5, 1, 21, 3)[:, 0],
            np.concatenate([eyes, lips], 1),
        )


class RecordedOutputs:
    """Context manager that records outputs (or inputs) of chosen modules."""

    def __init__(self, modules: dict[str, nn.Module], inputs: dict[str, nn.Module] | None = None):
        self.seen: dict[str, Tensor] = {}
        self.hooks = [m.register_forward_hook(self._keep(name)) for name, m in modules.items()]
        self.hooks += [
            m.register_forward_pre_hook(self._given(name)) for name, m in (inputs or {}).items()
        ]

    def _keep(self, name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_: nn.Module, __: object, out: Tensor) -> None:
            self.seen[name] = out.clone()

        return hook

    def _given(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            self.seen[name] = given[0].clone()

        return hook

    def __enter__(self) -> dict[str, Tensor]:
        return self.seen

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()


def appearance_stages(
    nets: LivePortraitNetworks, image: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    f = nets.appearance
    parts = {
        "first": f.first,
        "down_0": f.down_blocks[0],
        "down_1": f.down_blocks[1],
        "second": f.second,
    }
    with RecordedOutputs({**parts, "res_0": f.resblocks_3d[0], "res_5": f.resblocks_3d[5]}) as seen:
        volume = f.volume(image)
    out = {
        "F/first": seen["first"][:, ::8, ::16, ::16],
        "F/down_0": seen["down_0"][:, ::8, ::8, ::8],
        "F/down_1": seen["down_1"][:, ::8, ::8, ::8],
        "F/second": seen["second"][:, ::16, ::8, ::8],
        "F/res_0": seen["res_0"][:, ::4, ::4, ::8, ::8],
        "F/res_5": seen["res_5"][:, ::4, ::4, ::8, ::8],
        "F/feature": volume[:, ::2, ::2, ::4, ::4],
    }
    return out, volume


def observer_stages(nets: LivePortraitNetworks, images: list[Tensor]) -> dict[str, Tensor]:
    detector = nets.observer.detector
    modules: dict[str, nn.Module] = {
        f"down_{j}": m for j, m in enumerate(detector.downsample_layers)
    }
    modules |= {f"stage_{j}": m for j, m in enumerate(detector.stages)}
    out: dict[str, Tensor] = {}
    for a, image in enumerate(images):
        with RecordedOutputs(
            {**modules, "block_0_0": detector.get_submodule("stages.0.0"), "pooled": detector.norm}
        ) as seen:
            observed: MotionOutput = nets.observer(image)
        if a == 0:
            for name, tensor in seen.items():
                late = name[-1] in "23"
                out[f"M/{name}"] = (
                    tensor
                    if name == "pooled"
                    else tensor[:, ::8]
                    if late
                    else tensor[:, ::8, ::4, ::4]
                )
        names = {"t": "shift", "exp": "expression", "kp": "canonical"}
        for name in ("pitch", "yaw", "roll", "t", "exp", "scale", "kp"):
            out[f"M/img{a}/{name}"] = getattr(observed, names.get(name, name))
        angles = observed.angles()
        for i, name in enumerate(("pitch", "yaw", "roll")):
            out[f"M/img{a}/{name}_deg"] = angles[:, i : i + 1]
        turn = rotation(angles.numpy())
        expression, canonical = (
            t.view(-1, 21, 3).numpy() for t in (observed.expression, observed.canonical)
        )
        out[f"M/img{a}/R"] = torch.from_numpy(turn)
        moves = HeadMotion(observed.scale.numpy(), turn, expression, observed.shift.numpy())
        out[f"kp/img{a}/x"] = torch.from_numpy(moves.keypoints(canonical))
    return out


def warping_stages(
    nets: LivePortraitNetworks, source: EncodedSource, driving: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    w, dense = nets.warping, nets.warping.dense_motion_network
    modules: dict[str, nn.Module] = {
        f"enc_{j}": m for j, m in enumerate(dense.hourglass.encoder.down_blocks)
    }
    modules |= {f"dec_{j}": m for j, m in enumerate(dense.hourglass.decoder.up_blocks)}
    modules |= {"hourglass_out": dense.hourglass, "third": w.third, "fourth": w.fourth}
    with RecordedOutputs(modules, {"hourglass_in": dense.hourglass}) as seen:
        field = w.motion(source, driving)
        warped = w.warp(source, field)
    out = {
        "W/hourglass_in": seen["hourglass_in"][:, ::2, ::4, ::8, ::8],
        "W/hourglass_out": seen["hourglass_out"][:, ::8, ::4, ::8, ::8],
        "W/mask": field.mask[:, :, ::4, ::8, ::8],
        "W/deformation": field.deformation[:, ::4, ::4, ::4],
        "W/third": seen["third"][:, ::16, ::8, ::8],
        "W/fourth": seen["fourth"][:, ::16, ::8, ::8],
        "W/occlusion_map": field.occlusion,
        "W/out": warped[:, ::8, ::4, ::4],
    }
    for j in range(5):
        down, up = seen[f"enc_{j}"], seen[f"dec_{j}"]
        out[f"W/enc_{j}"] = down[:, ::16, ::4, ::4, ::4] if j < 3 else down[:, ::32, ::4]
        out[f"W/dec_{j}"] = up[:, ::32, ::4] if j < 2 else up[:, ::16, ::4, ::4, ::4]
    return out, warped


def generator_stages(
    nets: LivePortraitNetworks, feature: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    g = nets.generator
    modules: dict[str, nn.Module] = {
        f"middle_{j}": g.get_submodule(f"G_middle_{j}") for j in range(6)
    }
    modules |= {
        "fc": g.fc,
        "middle_0_spade": g.get_submodule("G_middle_0.norm_0"),
        "up_0": g.up_0,
        "up_1": g.up_1,
    }
    with RecordedOutputs(modules) as seen:
        image = g(feature)
    out = {
        f"G/{name}": tensor[:, ::32, ::8, ::8]
        for name, tensor in seen.items()
        if not name.startswith("up")
    }
    out["G/up_0"], out["G/up_1"] = (
        seen["up_0"][:, ::16, ::16, ::16],
        seen["up_1"][:, ::4, ::32, ::32],
    )
    return {
        **out,
        "G/out": image[:, :, ::4, ::4],
        "G/out_corner": image[:, :, :48, :48],
    }, image


def crop_square(points: Array32, size: int, scale: float, up: float) -> tuple[Array, float, float]:
    """Read centre, side and angle of LivePortrait's square from its crop."""
    matrix = align.liveportrait(points, size, scale, up).crop_from_frame
    side = size / float(np.sqrt(np.linalg.det(matrix[:2, :2])))
    centre = geometry.transform_points(inverse(matrix), [size / 2, size / 2])
    return centre, side, float(np.arctan2(matrix[0, 1], matrix[0, 0]))


def crop_stages(given: GoldenInputs) -> dict[str, Array]:
    out: dict[str, Array] = {}
    for tag, points in (("203", given.points(20)), ("106", given.points(25, 106))):
        out[f"crop/pts{tag}"] = points.astype(np.float64)
        centre, side, angle = crop_square(points, 512, 2.3, 0.125)
        out[f"crop/{tag}/center"], out[f"crop/{tag}/size"] = centre, np.array([side, side])
        out[f"crop/{tag}/angle"] = np.array([angle])
        for name in ("rot", "norot"):
            matrix = align.liveportrait(points, 512, rotate=name == "rot").crop_from_frame
            out[f"crop/{tag}/{name}/M_o2c"], out[f"crop/{tag}/{name}/M_c2o"] = (
                matrix,
                inverse(matrix),
            )
            out[f"crop/{tag}/{name}/pt_crop"] = geometry.transform_points(matrix, points)
        out[f"crop/{tag}/landmark_M_o2c"] = align.liveportrait(
            points, 224, 1.5, 0.1
        ).crop_from_frame
    return out | driving_crop_stages(given)


def driving_crop_stages(given: GoldenInputs) -> dict[str, Array]:
    """Compute the mean of the frames' upright boxes."""
    squares = [crop_square(given.points(i), 512, 2.2, 0.1) for i in (20, 21, 22)]
    boxes = np.array([[*(centre - side / 2), *(centre + side / 2)] for centre, side, _ in squares])
    mean = boxes.mean(0)
    size = mean[2] - mean[0]
    scale, middle = 512 / size, (mean[:2] + mean[2:]) / 2
    matrix = np.array(
        [[scale, 0, 256 - scale * middle[0]], [0, scale, 256 - scale * middle[1]], [0, 0, 1]]
    )
    (centre, _, angle), first = squares[0], boxes[0]
    corners = np.array(
        [[first[0], first[1]], [first[2], first[1]], [first[2], first[3]], [first[0], first[3]]]
    )
    c, s = np.cos(angle), np.sin(angle)
    return {
        "crop/driving/bboxes": boxes,
        "crop/driving/bbox_rot": (corners - centre) @ np.array([[c, -s], [s, c]]).T + centre,
        "crop/driving/global_bbox": mean,
        "crop/driving/M_o2c": matrix,
        "crop/driving/lmk_crop": geometry.transform_points(matrix, given.points(20)),
    }


def inverse(matrix: Array) -> Array:
    return np.asarray(np.linalg.inv(matrix), np.float64)


def paste_crop(crop: Image, original: Image, frame_from_crop: Array) -> tuple[Array32, Image]:
    """Blend a crop as the reference does: mask (H, W) in 0..1, and the frame; truncated, not
    rounded.
    """
    size = (original.shape[1], original.shape[0])
    mask = geometry.warp_affine(soft_mask(512), frame_from_crop, size).astype(np.float32)[
        ..., None
    ] / np.float32(255)
    moved = geometry.warp_affine(crop, frame_from_crop, size).astype(np.float32)
    mixed = mask * moved + (1 - mask) * original.astype(np.float32)
    return mask, np.clip(mixed, 0, 255).astype(np.uint8)


def paste_stages(given: GoldenInputs) -> dict[str, Image]:
    original = np.clip(np.floor(128 + 40 * given.normal(30, 720, 960, 3)), 0, 191).astype(np.uint8)
    crop = original[100:612, 200:712] + np.uint8(64)
    _, pasted = paste_crop(crop, original, np.array([[1.0, 0, 200], [0, 1, 100], [0, 0, 1]]))
    return {"paste/shift": pasted[::4, ::4], "paste/shift_edge": pasted[96:128, 196:228]}


class KeypointPipeline:
    """Keypoints of every frame under the reference's options."""

    def __init__(self, given: GoldenInputs, corrections: RetargetingNetworks):
        self.retargeting = corrections
        self.driving, _, self.driven = given.rows(50)
        self.own, self.canonical, _ = given.rows(60)
        self.openings = np.stack([openings(given.points(20 + i)) for i in range(5)])

    def image(self, case: Case, frames: int = 5, strength: float = 1.0) -> Array32:
        gains, options, is_relative = case
        own, driving = (
            HeadMotion(*(a[:n] for a in m)) for m, n in ((self.own, 1), (self.driving, frames))
        )
        still = own.keypoints(self.canonical[:1])
        if not is_relative:
            moves = transfer_absolute(own, driving, gains)
        elif frames > 1:
            moves = transfer_relative(own, driving, HeadMotion(*(a[:1] for a in driving)), gains)
        else:
            moves = transfer_relative_to_rest(own, driving, gains)
        given = (self.openings[:1], self.driven[:frames])
        moved = moves.keypoints(self.canonical[:1])
        out = self.retargeting.apply(still, moved, given, options, relative=is_relative)
        return still + np.float32(strength) * (out - still)

    def video(self, case: Case, frames: int = 5, *, awake: bool = False) -> Array32:
        gains, options, is_relative = case
        driving = HeadMotion(*(a[:frames] for a in self.driving))
        still = self.own.keypoints(self.canonical)
        moved = video.transfer_to_video(self.own, driving, gains, relative=is_relative).keypoints(
            self.canonical
        )
        extra_offsets = (
            video.eye_opening_offsets(self.retargeting, still, self.openings) if awake else None
        )
        given = (self.openings, self.driven[:frames])
        return self.retargeting.apply(
            still, moved, given, options, relative=is_relative, extra_offsets=extra_offsets
        )

    def stages(self) -> dict[str, Array32]:
        plain, loose = LivePortraitOptions(), LivePortraitOptions(stitching=False)
        eyes, both = (
            LivePortraitOptions(retarget_eyes=True),
            LivePortraitOptions(retarget_eyes=True, retarget_lips=True),
        )
        closed, whole = LivePortraitOptions(close_lips=True), TransferGains()
        both_loose = LivePortraitOptions(stitching=False, retarget_eyes=True, retarget_lips=True)
        default = self.image((whole, plain, True))
        out = {
            "default/x_d": default,
            "default/x_s": np.repeat(
                HeadMotion(*(a[:1] for a in self.own)).keypoints(self.canonical[:1]), 5, 0
            ),
            "pose_friendly/x_d": default,  # the same to 2e-7
            "absolute/x_d": self.image((whole, plain, False)),
            "rel_lip_expr/x_d": self.image((TransferGains("lips"), plain, True)),
            "no_stitch/x_d": self.image((whole, loose, True)),
            "multiplier_1.5/x_d": self.image((whole, plain, True), strength=1.5),
            "normalize_lip/x_d": self.image((whole, closed, True)),
            "normalize_lip_no_stitch/x_d": self.image(
                (whole, LivePortraitOptions(stitching=False, close_lips=True), True)
            ),
            "eye_retarget/x_d": self.image((whole, eyes, True)),
            "eye_lip_retarget/x_d": self.image((whole, both, True)),
            "abs_eye_lip_retarget_no_stitch/x_d": self.image((whole, both_loose, False)),
            "image_driven/x_d": self.image((whole, plain, True), 1),
            "image_driven_eyes/x_d": self.image((TransferGains("eyes"), plain, True), 1),
            "image_driven_abs/x_d": self.image((whole, plain, False), 1),
            "video_default/x_d": self.video((whole, plain, True)),
            "video_default/x_s": self.own.keypoints(self.canonical),
            "video_absolute/x_d": self.video((whole, plain, False)),
            "video_eye_fix/x_d": self.video((whole, closed, True), awake=True),
            "video_image_driven/x_d": self.video((whole, plain, True), 1),
            "video_image_driven_abs/x_d": self.video((whole, plain, False), 1),
        }
        short = {
            "exp": TransferGains("expression"),
            "pose": TransferGains("pose"),
            "lip": TransferGains("lips"),
            "eyes": TransferGains("eyes"),
        }
        for name, gains in short.items():
            out[f"rel_{name}/x_d"] = self.image((gains, plain, True))
            out[f"abs_{name}/x_d"] = self.image((gains, plain, False))
            if name != "eyes":
                out[f"video_{name}/x_d"] = self.video((gains, plain, True))
        return {f"pipe/{name}": points for name, points in out.items()}


def correction_stages(
    given: GoldenInputs, corrections: RetargetingNetworks, still: Array32, moved: Array32
) -> dict[str, Array32]:
    eyes, lips = (
        np.abs(given.normal(4, 1, 3)) * np.float32(0.3),
        np.abs(given.normal(5, 1, 2)) * np.float32(0.1),
    )
    return {
        "S/stitch_raw": corrections.stitching_output(still, moved),
        "S/stitched": corrections.stitch(still, moved),
        "S/eye_delta": corrections.eye_offsets(still, eyes[:, :2], eyes[:, 2:]),
        "S/lip_delta": corrections.lip_offsets(still, lips[:, :1], lips[:, 1:]),
        "S/motion_multiplier": np.array([movement_scale(still[0], moved[0])], np.float32),
    }


def clones(stages: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy samples of tensors; their views would keep all of these."""
    return {name: tensor.clone() for name, tensor in stages.items()}


def dense_motion(offset: int) -> DenseMotion:
    """Build the dense motion network alone, with its batch norms."""
    with fill.Unfilled():
        network = Warping().dense_motion_network
    filler = fill.by_value(offset, "dense_motion_network.")
    for key, tensor in network.state_dict().items():
        filler(key, tensor)
    return network.eval()


@cache
def images(offset: int) -> tuple[dict[str, Tensor], Tensor]:
    """Compute the stages of the four large networks, and the last image."""
    given = GoldenInputs(offset)
    with fill.Unfilled():
        nets = assemble(published(offset))  # each is prepared when it runs: that takes more memory
    for net in (nets.appearance, nets.observer):
        fill.prepare(net)
    fill.release_memory()
    first, second = given.image(0), given.image(1) * torch.linspace(0, 1, 256)
    out, volume = appearance_stages(nets, first)
    out = clones(out | observer_stages(nets, [first, second]))
    fill.drop(nets.appearance, nets.observer)
    unfolded = dense_motion(offset)
    compressed = unfolded.compress(volume)
    out["W/compress"] = compressed[:, :, ::4, ::8, ::8]
    out["W/compress_bn"] = unfolded.norm(compressed)[:, :, ::4, ::8, ::8]
    fill.drop(unfolded)
    still = 0.5 * given.normal(2, 1, 21, 3)
    moved = still + np.float32(0.1) * given.normal(3, 1, 21, 3)
    fill.prepare(nets.warping)
    source = nets.warping.encode(volume, torch.from_numpy(still))
    stages, warped = warping_stages(nets, source, torch.from_numpy(moved))
    out |= clones(stages)
    fill.drop(nets.warping)
    fill.prepare(nets.generator, large=fill.spade_blocks(nets.generator))
    stages, image = generator_stages(nets, warped)
    for mlp in (nets.stitching, nets.lips, nets.eyes):
        fill.prepare(mlp)
    corrections = RetargetingNetworks(nets.stitching, nets.lips, nets.eyes)
    small = (
        correction_stages(given, corrections, still, moved)
        | KeypointPipeline(given, corrections).stages()
    )
    noisy = (np.float32(0.02) * given.normal(40, 12, 1, 21, 3))[:, 0]
    small |= {
        f"smooth/{name}": video.kalman_smooth(noisy, float(name)) for name in ("3e-7", "1e-5")
    }
    opened = openings(given.points(20))
    small |= {"ratio/eye": opened[None, :2], "ratio/lip": opened[None, 2:]}
    return {
        **out,
        **stages,
        **{name: torch.from_numpy(array) for name, array in small.items()},
    }, image


def stages(offset: int) -> dict[str, Tensor]:
    out, _ = images(offset)
    given = GoldenInputs(offset)
    out |= {name: torch.from_numpy(a.astype(np.float32)) for name, a in crop_stages(given).items()}
    return out | {
        name: torch.from_numpy(a.astype(np.float32)) for name, a in paste_stages(given).items()
    }


def wave(height: int, width: int, offset: int) -> Image:
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return np.floor(127.5 + 100 * np.sin(x / 40 + c) * np.cos(y / 50 + offset)).astype(np.uint8)


def cv_stages(offset: int) -> dict[str, Tensor]:
    """Compute the stages that depend on rounding to uint8."""
    _, image = images(offset)
    place: Crop = align.liveportrait(GoldenInputs(offset).points(20), 512)
    crop = geometry.warp_affine(wave(720, 960, offset), place.crop_from_frame, place.size)
    small = cv2.resize(crop, (256, 256), interpolation=cv2.INTER_AREA)
    back = np.ascontiguousarray(wave(512, 512, offset)[..., ::-1])
    mask, pasted = paste_crop(back, wave(720, 960, offset + 2), inverse(place.crop_from_frame))
    eight = (image.clamp(0, 1) * 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    out = {
        "G/uint8": eight[:, ::8, ::8],
        "cv/img_crop": crop[::4, ::4],
        "cv/img_crop_256": np.asarray(small)[::2, ::2],
        "cv/paste_mask": mask[::8, ::8, :1],
        "cv/paste": pasted[::4, ::4],
    }
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in out.items()}
