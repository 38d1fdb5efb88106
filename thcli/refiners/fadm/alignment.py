"""What fadm-s sees of a frame and its source, and what it makes of them: both moved a little, mixed, and changed.

Ours, not FADM's. What a warped frame has wrong is mostly where things are, so the network says how far off they are, place by place,
rather than what colour each pixel should have. Much of that follows from how the picture as a whole has moved (a head that
rises takes its shoulders along, hair lags behind): a linear map, `MotionPrior`, tells it, and the U-Net tells the rest. A real frame
wants none of it: `RealFrameClassifier` tells it from a warped picture, whose every pixel is found in the source.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.shared.networks.grid import identity

_SIDE = 192  # of the pictures whose pixels are told
EXTRA = 6  # channels of motion (x, y), of how well it explains the frame (closely, roughly), and of the place (x, y)
USUAL = 2  # channels of the usual motion
MADE = 5  # of two motions and of a share
_CONTRAST, _AROUND = 4.0, 0.5  # pictures as the network sees them: (p - AROUND) * CONTRAST
_CLOSELY, _ROUGHLY = 2 / 255, 8 / 255  # differences that count as explained by a motion
_LEVELS = tuple(
    level / 255 for level in (0.5, 1, 2, 4, 8, 16)
)  # the same where all of a frame is looked at
_LOUD = 10.0  # of the attributes beside pixels of motion
TRUST = 0.8  # of the motion that the U-Net adds to the usual one, outside of training: it does not know everybody
_FACE = (0.5, 0.52, 0.28, 0.34)  # middle and half axes of the face in a crop, parts of the side
_FACE_MOTION, _FACE_SHARE = (
    0.8,
    0.5,
)  # of a motion, and of the source, that count there: a face's points lie well already
SHY = -3.0  # the share's logit where the network says nothing: the coarse frame counts .95


class RefinerInput(NamedTuple):
    """coarse, source: (B, 3, S, S) in 0..1.  motion: (B, 2, S, S) pixels.  apart: (B, 1, S, S), what the motion leaves unexplained.

    seen: (B, 6 p^2 + EXTRA, S / p, S / p) for the network.  gain: (B,) 0..1, how much of what it says shall be done.
    """

    coarse: Tensor
    source: Tensor
    motion: Tensor
    apart: Tensor
    seen: Tensor
    gain: Tensor

    @classmethod
    def of(cls, coarse: Tensor, source: Tensor, motion: Tensor, patch: int) -> RefinerInput:
        """motion: (B, 2, S, S) pixels, where each of the coarse frame's pixels is in the source."""
        apart = (coarse - moved(source, motion)).abs().mean(1, keepdim=True)
        pictures = F.pixel_unshuffle((torch.cat([coarse, source], 1) - _AROUND) * _CONTRAST, patch)
        little = F.avg_pool2d(
            torch.cat(
                [motion / patch, torch.exp(-apart / _CLOSELY), torch.exp(-apart / _ROUGHLY)], 1
            ),
            patch,
        )
        seen = torch.cat([pictures, little, places(little)], 1)
        return cls(coarse, source, motion, apart, seen, coarse.new_ones(len(coarse)))


class RefinerOutput(NamedTuple):
    """What the network says. change: (B, 3, S, S), added.  here, there: (B, 2, S, S) pixels, where the coarse frame's and the source's content comes
    from.  share: (B, 1, S, S) 0..1, how much the source counts."""

    change: Tensor
    here: Tensor
    there: Tensor
    share: Tensor

    @classmethod
    def of(
        cls, out: Tensor, usual: Tensor, gain: Tensor, patch: int, trust: float = 1.0
    ) -> RefinerOutput:
        """out: (B, 3 p^2 + MADE, n, n) as the network gives it.  usual: (B, 2, n, n) pixels, the motion that it adds to.

        gain: (B,) 0..1, how much of all this shall be done.  trust: how much what it adds to the usual motion counts.
        """
        gain = gain[:, None, None, None]
        change, rest = out[:, :-MADE], out[:, -MADE:]
        rest = torch.cat(
            [gain * (trust * patch * rest[:, :2] + usual), rest[:, 2:4] * patch, rest[:, 4:]], 1
        )
        fine = F.interpolate(rest, scale_factor=float(patch), mode="bilinear", align_corners=False)
        share = gain * torch.sigmoid(fine[:, 4:] + SHY)
        return cls(gain * F.pixel_shuffle(change, patch), fine[:, :2], fine[:, 2:4], share)

    def picture(self, beside: RefinerInput) -> Tensor:
        """(B, 3, S, S), what the coarse frame becomes."""
        own, other = moved(beside.coarse, self.here), moved(beside.source, self.there)
        return own + self.share * (other - own) + self.change

    def careful(self, beside: RefinerInput) -> Tensor:
        """The same, for people to look at: within the face less is moved, less of the source comes in, and what is moved stays sharp."""
        face = in_face(self.here)
        here, share = (
            self.here * (1 - (1 - _FACE_MOTION) * face),
            self.share * (1 - (1 - _FACE_SHARE) * face),
        )
        soft, sharp = (moved(beside.coarse, here, way) for way in ("bilinear", "bicubic"))
        own, other = soft + face * (sharp - soft), moved(beside.source, self.there)
        return own + share * (other - own) + self.change


class MotionPrior(nn.Module):
    """How far off a warped picture usually is, from how it moved as a whole and how the face has changed: a linear map of few numbers."""

    GRID, FIELD = 8, 24  # places a side of the motion that it sees, and of the one that it tells
    FURTHEST = 6.0  # pixels of 192, softly, beyond which more motion tells no more
    SLOW = 0.02  # what the map is multiplied by, so that it learns slower than the rest

    def __init__(self, attributes: int) -> None:
        super().__init__()
        self.map = nn.Linear(2 * self.GRID**2 + attributes, 2 * self.FIELD**2)
        for parameter in self.map.parameters():
            nn.init.zeros_(parameter)

    def numbers(self, motion: Tensor, attributes: Tensor) -> Tensor:
        """(B, F) of motion (B, 2, S, S) in pixels and attributes (B, A)."""
        far = self.FURTHEST * motion.shape[-1] / _SIDE
        few = F.adaptive_avg_pool2d(torch.tanh(motion / far), self.GRID)
        return torch.cat([self.FURTHEST * few.flatten(1), _LOUD * attributes.clamp(-1, 1)], 1)

    def forward(self, motion: Tensor, attributes: Tensor) -> Tensor:
        """(B, 2, FIELD, FIELD) pixels."""
        source_is_reference: Tensor = self.map(self.numbers(motion, attributes))
        return self.unit(motion) * source_is_reference.view(len(motion), 2, self.FIELD, self.FIELD)

    def unit(self, motion: Tensor) -> float:
        """Pixels of pictures as large as `motion` to one that the map gives."""
        return self.SLOW * motion.shape[-1] / _SIDE


class RealFrameClassifier(nn.Module):
    """Whether a frame is a picture that was warped: nearly every pixel of it is then found in the source, and none of the camera's noise is new."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(len(_LEVELS) + 3, 16), nn.SiLU(), nn.Linear(16, 1))

    def forward(self, beside: RefinerInput) -> Tensor:
        """(B,) logits."""
        apart = beside.apart.float()
        explained = [torch.exp(-apart / level).mean((1, 2, 3)) * 4 - 2 for level in _LEVELS]
        fine = [(_fineness(picture) + 1e-3).log() + 4 for picture in (beside.coarse, beside.source)]
        far = (
            beside.motion.float().norm(dim=1).mean((1, 2)) * _SIDE / beside.motion.shape[-1] + 0.1
        ).log()
        source_is_reference: Tensor = self.layers(torch.stack([*explained, *fine, far], 1))
        return source_is_reference[:, 0]


def _fineness(pictures: Tensor) -> Tensor:
    """(B,) mean distance of pixels from the mean around them."""
    return (pictures.float() - F.avg_pool2d(pictures.float(), 3, 1, 1)).abs().mean((1, 2, 3))


def places(like: Tensor) -> Tensor:
    """(B, 2, h, w) each place's x and y in -1..1."""
    return (
        identity(tuple(like.shape[-2:]), like.device, like.dtype)
        .permute(2, 0, 1)
        .expand(len(like), -1, -1, -1)
    )


def in_face(like: Tensor) -> Tensor:
    """(h, w) 0..1, how much each place of a crop lies in the face, softly."""
    x, y = (places(like[:1, :1])[0] + 1) / 2
    middle_x, middle_y, wide, high = _FACE
    far = torch.hypot((x - middle_x) / wide, (y - middle_y) / high)
    return torch.sigmoid((1 - far) * 8)


def moved(pictures: Tensor, motion: Tensor, way: str = "bilinear") -> Tensor:
    """(B, C, H, W) read where `motion` (B, 2, H, W), in pixels, says; the border repeated. way: bilinear, or bicubic."""
    height, width = pictures.shape[-2:]
    half = motion.new_tensor([(width - 1) / 2, (height - 1) / 2])
    grid = (
        identity((height, width), motion.device, motion.dtype) + motion.permute(0, 2, 3, 1) / half
    )
    return F.grid_sample(pictures, grid, mode=way, padding_mode="border", align_corners=True)
