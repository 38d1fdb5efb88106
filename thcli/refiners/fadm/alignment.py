"""Alignment of a coarse frame and its source: inputs and outputs of the network of fadm-s.

This part is ours, not FADM's. The main error of a warped frame is position, so the network
predicts optical flows rather than the colour of each pixel. Much of the flow follows from how the
image as a whole has moved (a head that rises takes its shoulders along, hair lags behind). A
linear map, `MotionPrior`, predicts that part, and the U-Net predicts the rest. A real frame needs
no correction: `RealFrameClassifier` separates it from a warped frame, nearly every pixel of which
is found in the source.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.shared.networks.grid import identity

_SIDE = 192  # side of the images to which pixel units refer
_STRIP, _STRIP_END = 0.1, 0.55  # width and lower end of the background's strips over the side
_CAMERA = (0.1, 0.5)  # pixels by which a moving camera moves them, from where it counts, in full
_BESIDE_A_WALL = (2.0, 4.0)  # the same for strips with texture, where another one has none
_TEXTURE = 4 / 255  # mean step between pixels from which they count as texture
_ENOUGH_TEXTURE = 0.05  # share of a strip's pixels with texture
_ENOUGH_STRIPS = 2  # with texture
# Feature channels: flow (x, y), how well it explains the frame (strict, loose), position (x, y).
MOTION_CHANNELS = 6
PRIOR_CHANNELS = 2  # channels of the prior flow
OUTPUT_CHANNELS = 5  # two flows and the source's share
_CONTRAST, _OFFSET = 4.0, 0.5  # images as network input: (p - _OFFSET) * _CONTRAST
_STRICT, _LOOSE = 2 / 255, 8 / 255  # differences that count as explained by a flow
_LEVELS = tuple(level / 255 for level in (0.5, 1, 2, 4, 8, 16))  # the same for a whole frame
_ATTRIBUTE_SCALE = 10.0  # of the attributes, relative to pixels of flow
# Weight of the U-Net's flow on top of the prior at inference: its training set has few identities.
RESIDUAL_WEIGHT = 0.8
_FACE = (0.5, 0.52, 0.28, 0.34)  # centre and half axes of the face in a crop, as shares of the side
# Shares of a flow and of the source that are used in the face, whose points are accurate already.
_FACE_FLOW, _FACE_SHARE = 0.8, 0.5
SHARE_BIAS = -3.0  # logit of the source's share for a zero output: the coarse frame weighs 0.95

Interpolation = Literal["bilinear", "bicubic"]


class RefinerInput(NamedTuple):
    """Images, flow and features of B frames.

    coarse, source: (B, 3, S, S) in 0..1.  motion: (B, 2, S, S) optical flow in pixels, from coarse
    to source.  unexplained: (B, 1, S, S), difference that the flow leaves.  features:
    (B, 6 p^2 + MOTION_CHANNELS, S / p, S / p), network input.  confidence: (B,) 0..1, weight of
    every change.
    """

    coarse: Tensor
    source: Tensor
    motion: Tensor
    unexplained: Tensor
    features: Tensor
    confidence: Tensor

    @classmethod
    def of(cls, coarse: Tensor, source: Tensor, motion: Tensor, patch: int) -> RefinerInput:
        """Compute the features of frames, with confidence 1.

        Args:
            coarse, source: (B, 3, S, S) in 0..1.
            motion: (B, 2, S, S) pixels, the position of each coarse pixel in the source.
            patch: side p of a patch in pixels.
        """
        unexplained = (coarse - warp(source, motion)).abs().mean(1, keepdim=True)
        scaled = (torch.cat([coarse, source], 1) - _OFFSET) * _CONTRAST
        images = F.pixel_unshuffle(scaled, patch)
        explained = [torch.exp(-unexplained / _STRICT), torch.exp(-unexplained / _LOOSE)]
        flow = F.avg_pool2d(torch.cat([motion / patch, *explained], 1), patch)
        features = torch.cat([images, flow, coordinate_channels(flow)], 1)
        return cls(coarse, source, motion, unexplained, features, coarse.new_ones(len(coarse)))


def still_background(motion: Tensor, coarse: Tensor) -> Tensor:
    """Return how far the background of crops is that of their source, (B,) in 0..1.

    A moving camera moves the strips above and on both sides of the head alike. The network was
    trained on still ones, and takes the camera's motion for one of the head. Flow is 0 on a plain
    wall: where two strips show texture and both move further than hair does, it is the camera.

    Args:
        motion: (B, 2, S, S) pixels from the crops to their source.
        coarse: (B, 3, S, S) in 0..1, the crops.
    """
    lengths, textures = _strips(_flow_length(motion)), _strips(_is_textured(coarse))
    moved = torch.stack([strip.median(1).values for strip in lengths], 1)
    seen = [
        torch.where(texture, strip, torch.nan).nanmedian(1).values
        for strip, texture in zip(lengths, textures, strict=True)
    ]
    shares = torch.stack([texture.float().mean(1) for texture in textures], 1)
    counted = shares > _ENOUGH_TEXTURE
    least = torch.where(counted, torch.stack(seen, 1), torch.inf).amin(1)
    textured = torch.where(counted.sum(1) >= _ENOUGH_STRIPS, least, 0)
    return 1 - torch.maximum(_share(moved.amin(1), _CAMERA), _share(textured, _BESIDE_A_WALL))


def _flow_length(motion: Tensor) -> Tensor:
    """Return the length of flows (B, 2, S, S) in pixels of _SIDE, (B, S, S) float32.

    Several times as fast as `Tensor.norm`, which is slow over an axis of two.
    """
    x, y = motion.float().unbind(1)
    return torch.hypot(x, y) * (_SIDE / motion.shape[-1])


def _share(values: Tensor, limits: tuple[float, float]) -> Tensor:
    """Return where values lie between two limits, smoothly from 0 to 1."""
    low, high = limits
    share = ((values - low) / (high - low)).clamp(0, 1)
    return share * share * (3 - 2 * share)


def _strips(values: Tensor) -> list[Tensor]:
    """Cut the strips above, left and right of the head out of (B, S, S), (B, N) each."""
    side = values.shape[-1]
    edge, low = round(_STRIP * side), round(_STRIP_END * side)
    strips = values[:, :edge], values[:, edge:low, :edge], values[:, edge:low, -edge:]
    return [strip.flatten(1) for strip in strips]


def _is_textured(images: Tensor) -> Tensor:
    """Return (B, S, S) booleans: pixels of (B, 3, S, S) around which the flow can be seen."""
    grey = images.float().mean(1)
    across, down = grey.diff(dim=2)[:, 1:].abs(), grey.diff(dim=1)[:, :, 1:].abs()
    steps = F.pad(across + down, (1, 0, 1, 0))[:, None]
    return F.avg_pool2d(steps, 5, 1, 2)[:, 0] > _TEXTURE


class RefinerOutput(NamedTuple):
    """Predicted corrections of B frames.

    colour_change: (B, 3, S, S), added.  coarse_flow, source_flow: (B, 2, S, S) pixels, where the
    coarse frame and the source are sampled.  source_share: (B, 1, S, S) 0..1, blend weight of the
    source.
    """

    colour_change: Tensor
    coarse_flow: Tensor
    source_flow: Tensor
    source_share: Tensor

    @classmethod
    def of(
        cls,
        out: Tensor,
        prior_flow: Tensor,
        confidence: Tensor,
        patch: int,
        residual_weight: float = 1.0,
    ) -> RefinerOutput:
        """Decode the network's output.

        Args:
            out: (B, 3 p^2 + OUTPUT_CHANNELS, n, n) network output.
            prior_flow: (B, 2, n, n) pixels, to which the coarse flow is added.
            confidence: (B,) 0..1, weight of every change.
            patch: side p of a patch in pixels.
            residual_weight: weight of the network's flow.
        """
        confidence = confidence[:, None, None, None]
        change, rest = out[:, :-OUTPUT_CHANNELS], out[:, -OUTPUT_CHANNELS:]
        coarse_flow = confidence * (residual_weight * patch * rest[:, :2] + prior_flow)
        rest = torch.cat([coarse_flow, rest[:, 2:4] * patch, rest[:, 4:]], 1)
        fine = F.interpolate(rest, scale_factor=float(patch), mode="bilinear", align_corners=False)
        source_share = confidence * torch.sigmoid(fine[:, 4:] + SHARE_BIAS)
        colour_change = confidence * F.pixel_shuffle(change, patch)
        return cls(colour_change, fine[:, :2], fine[:, 2:4], source_share)

    def image(self, refiner_input: RefinerInput) -> Tensor:
        """Compose the refined frames (B, 3, S, S)."""
        own = warp(refiner_input.coarse, self.coarse_flow)
        other = warp(refiner_input.source, self.source_flow)
        return own + self.source_share * (other - own) + self.colour_change

    def inference_image(self, refiner_input: RefinerInput) -> Tensor:
        """Compose the refined frames (B, 3, S, S) as users see them.

        In the face the flow and the source's share are reduced, and sampling is bicubic, which
        keeps it sharp.
        """
        face = face_mask(self.coarse_flow)
        flow = self.coarse_flow * (1 - (1 - _FACE_FLOW) * face)
        share = self.source_share * (1 - (1 - _FACE_SHARE) * face)
        smooth = warp(refiner_input.coarse, flow, "bilinear")
        sharp = warp(refiner_input.coarse, flow, "bicubic")
        own = smooth + face * (sharp - smooth)
        other = warp(refiner_input.source, self.source_flow)
        return own + share * (other - own) + self.colour_change


class MotionPrior(nn.Module):
    """Linear map from a frame's motion and change of face to the typical residual flow."""

    INPUT_GRID, OUTPUT_GRID = 8, 24  # samples per side of the motion and of the predicted flow
    SOFT_LIMIT = 6.0  # pixels of 192; larger motion is limited to it by tanh
    OUTPUT_SCALE = 0.02  # factor on the map's output, so that it learns slower than the rest

    def __init__(self, attributes: int) -> None:
        super().__init__()
        # checkpoint key: map
        self.map = nn.Linear(2 * self.INPUT_GRID**2 + attributes, 2 * self.OUTPUT_GRID**2)
        for parameter in self.map.parameters():
            nn.init.zeros_(parameter)

    def regressors(self, motion: Tensor, attributes: Tensor) -> Tensor:
        """Compute the map's input (B, F).

        Args:
            motion: (B, 2, S, S) pixels.
            attributes: (B, A), source minus driving.
        """
        limit = self.SOFT_LIMIT * motion.shape[-1] / _SIDE
        few = F.adaptive_avg_pool2d(torch.tanh(motion / limit), self.INPUT_GRID)
        scaled = _ATTRIBUTE_SCALE * attributes.clamp(-1, 1)
        return torch.cat([self.SOFT_LIMIT * few.flatten(1), scaled], 1)

    def forward(self, motion: Tensor, attributes: Tensor) -> Tensor:
        """Predict the residual flow, (B, 2, OUTPUT_GRID, OUTPUT_GRID) pixels."""
        flow: Tensor = self.map(self.regressors(motion, attributes))
        grid = flow.view(len(motion), 2, self.OUTPUT_GRID, self.OUTPUT_GRID)
        return self.unit_pixels(motion) * grid

    def unit_pixels(self, motion: Tensor) -> float:
        """Return the pixels of images as large as `motion` per unit of the map's output."""
        return self.OUTPUT_SCALE * motion.shape[-1] / _SIDE


class RealFrameClassifier(nn.Module):
    """Classifier of warped frames against camera footage.

    Nearly every pixel of a warped frame is found in the source, and none of it is new sensor noise.
    """

    def __init__(self) -> None:
        super().__init__()
        # checkpoint key: layers
        self.layers = nn.Sequential(nn.Linear(len(_LEVELS) + 3, 16), nn.SiLU(), nn.Linear(16, 1))

    def forward(self, refiner_input: RefinerInput) -> Tensor:
        """Compute the logits (B,) of being a warped frame."""
        unexplained = refiner_input.unexplained.float()
        explained = [torch.exp(-unexplained / level).mean((1, 2, 3)) * 4 - 2 for level in _LEVELS]
        images = (refiner_input.coarse, refiner_input.source)
        detail = [(_fine_detail(image) + 1e-3).log() + 4 for image in images]
        length = _flow_length(refiner_input.motion).mean((1, 2))
        features = torch.stack([*explained, *detail, (length + 0.1).log()], 1)
        logits: Tensor = self.layers(features)
        return logits[:, 0]


def _fine_detail(images: Tensor) -> Tensor:
    """Compute the mean distance (B,) of pixels from their local 3 x 3 mean."""
    return (images.float() - F.avg_pool2d(images.float(), 3, 1, 1)).abs().mean((1, 2, 3))


def coordinate_channels(like: Tensor) -> Tensor:
    """Create x and y channels (B, 2, h, w) in -1..1 for a tensor (B, C, h, w)."""
    points = identity(tuple(like.shape[-2:]), like.device, like.dtype)
    return points.permute(2, 0, 1).expand(len(like), -1, -1, -1)


def face_mask(like: Tensor) -> Tensor:
    """Create a soft mask (h, w) 0..1 of the face in a crop, for a tensor (B, C, h, w)."""
    x, y = (coordinate_channels(like[:1, :1])[0] + 1) / 2
    centre_x, centre_y, half_width, half_height = _FACE
    distance = torch.hypot((x - centre_x) / half_width, (y - centre_y) / half_height)
    return torch.sigmoid((1 - distance) * 8)


def warp(images: Tensor, flow: Tensor, mode: Interpolation = "bilinear") -> Tensor:
    """Sample images (B, C, H, W) at position + flow (B, 2, H, W) in pixels; the border repeats."""
    height, width = images.shape[-2:]
    half = flow.new_tensor([(width - 1) / 2, (height - 1) / 2])
    grid = identity((height, width), flow.device, flow.dtype) + flow.permute(0, 2, 3, 1) / half
    return F.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=True)
