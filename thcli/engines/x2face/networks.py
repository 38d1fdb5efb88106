"""The X2Face model and the maps of its pose-driven variant, with the keys as published.

Images are (B, 3, 256, 256) float32 RGB in [0, 1]; grids as in `shared.networks.grid`. `aligned` is
align_corners of both the grid sampling and the bilinear upsampling: True for the published
checkpoints (torch 0.2).
Source: X2Face UnwrapMosaic/{UnwrappedFace,SkipNet,NoSkipNet_X2Face}.py at cecfbfa.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.shared.networks import grid

SIZE = 256
CODE = 128
WIDTHS = (64, 128, 256, 512, 512, 512, 512)  # after each downsampling but the last


class UNetLevel(nn.Module):
    """One level of the U-Net with all levels inside it.

    widths: channels after each downsampling, the code last.  joined: the input is appended to the
    output (skip connection).  last: layer that ends level 0.
    """

    def __init__(
        self,
        depth: int,
        inputs: int,
        outputs: int,
        widths: Sequence[int],
        *,
        joined: bool,
        last: nn.Module,
        aligned: bool,
    ):
        super().__init__()
        innermost = depth == len(widths) - 1
        width = widths[depth]
        down: list[nn.Module] = [nn.Conv2d(inputs, width, 4, 2, 1, bias=False)]
        if depth:
            down.insert(0, nn.LeakyReLU(0.2))
        if depth and not innermost:
            down.append(nn.BatchNorm2d(width))
        up: list[nn.Module] = [
            nn.ReLU(),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=aligned),
            nn.Conv2d(
                width if innermost or not joined else 2 * width, outputs, 3, 1, 1, bias=False
            ),
            nn.BatchNorm2d(outputs) if depth else last,
        ]
        self.up, self.down = nn.Sequential(*up), nn.Sequential(*down)
        if not innermost:
            self.submodule = UNetLevel(
                depth + 1, width, width, widths, joined=joined, last=last, aligned=aligned
            )
        self.innermost, self.joined = innermost, joined and depth > 0

    def encode(self, x: Tensor) -> list[Tensor]:
        """Return the inputs of this level and of all inside it, the code last."""
        inner = self.down(x)
        return [x, inner] if self.innermost else [x, *self.submodule.encode(inner)]

    def decode(self, inputs: list[Tensor]) -> Tensor:
        """Decode the output of `encode`. Levels that are not joined use the code alone."""
        inner = inputs[-1] if self.innermost else self.submodule.decode(inputs[1:])
        out: Tensor = self.up(inner)
        return torch.cat([out, inputs[0]], 1) if self.joined else out


class PoseMap(nn.Module):
    """Linear maps between codes (B, 128) and poses (B, 3): roll, pitch, yaw in radians.

    Keys are those of the published posereg.pth (`posefrombottle`) and posetobottle.pth
    (`bottlefrompose`).
    Source: X2Face UnwrapMosaic/NoSkipNet_X2Face_pose.py at cecfbfa.
    """

    def __init__(self, code: int = CODE):
        super().__init__()
        self.posefrombottle = nn.Linear(code, 3)
        self.bottlefrompose = nn.Sequential(nn.Linear(3, code, bias=False), nn.BatchNorm1d(code))

    def pose(self, code: Tensor) -> Tensor:
        """Return the poses (B, 3) of codes that are not rectified."""
        out: Tensor = self.posefrombottle(code)
        return out

    def move(self, code: Tensor, pose: Tensor) -> Tensor:
        """Move codes to poses: code + Q(pose) - Q(P(code))."""
        out: Tensor = code + self.bottlefrompose(pose) - self.bottlefrompose(self.pose(code))
        return out


class UNet(nn.Module):
    """A U-Net under the published prefix netG.model."""

    def __init__(
        self, outputs: int, widths: Sequence[int], *, joined: bool, last: nn.Module, aligned: bool
    ):
        super().__init__()
        self.netG = nn.ModuleDict(
            {"model": UNetLevel(0, 3, outputs, widths, joined=joined, last=last, aligned=aligned)}
        )

    @property
    def level(self) -> UNetLevel:
        model = self.netG["model"]
        assert isinstance(model, UNetLevel)
        return model

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output and the rectified code, as published."""
        inputs = self.level.encode(image)
        return self.level.decode(inputs), F.relu(inputs[-1])


class X2Face(nn.Module):
    """Embedding network and driving network.

    width_divisor: divides every width (1: as published).
    """

    VERBATIM = True  # its output are offsets, which are sampled at 256 pixels

    def __init__(self, *, aligned: bool = True, width_divisor: int = 1):
        super().__init__()
        unwrapping, driving = (
            [width // width_divisor for width in (*WIDTHS, code)] for code in (512, CODE)
        )
        self.pix2pixUnwrapped = UNet(
            3, unwrapping, joined=True, last=nn.Identity(), aligned=aligned
        )
        self.pix2pixSampler = UNet(2, driving, joined=False, last=nn.Tanh(), aligned=aligned)
        self.aligned, self.code_size = aligned, driving[-1]

    def unwrap(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Unwrap a source to a frontal face (B, 3, 256, 256) and its raw confidence (B, 1, 256,
        256).
        """
        raw = self.pix2pixUnwrapped(image)[0].float()
        return self.sample_at_offsets(image, torch.tanh(raw[:, :2].contiguous())), raw[:, 2:]

    def mosaic(self, images: Tensor, floor: float = 0.1) -> Tensor:
        """Average sources (N, 3, 256, 256) of one person to a mosaic (1, 3, 256, 256).

        Weights are exp(confidence) + floor.
        """
        each = [self.unwrap(image[None]) for image in images]
        faces, confidence = (torch.cat(parts) for parts in zip(*each, strict=True))
        weight = torch.exp(confidence) + floor
        return (weight * faces).sum(0, keepdim=True) / weight.sum(0, keepdim=True)

    def code(self, image: Tensor) -> Tensor:
        """Encode driving images to codes (B, 128), not rectified."""
        return self.pix2pixSampler.level.encode(image)[-1].flatten(1).float()

    def decode_offsets(self, code: Tensor) -> Tensor:
        """Decode codes (B, 128) to the sampler's output (B, 2, 256, 256), already in [-1, 1]."""
        out: Tensor = self.pix2pixSampler.level.decode(
            [code] * (len(WIDTHS) + 1) + [code[..., None, None]]
        )
        return out.float()

    def sample_at_offsets(self, image: Tensor, offsets: Tensor) -> Tensor:
        """Sample an image at identity + offsets (B, 2, h, w): (B, 3, h, w)."""
        return grid.sample(image, self.sampling_grid(offsets), aligned=self.aligned)

    def sampling_grid(self, offsets: Tensor) -> Tensor:
        """Compute the sampling grid (B, h, w, 2) of offsets (B, 2, h, w)."""
        sizes = (offsets.shape[2], offsets.shape[3])
        # the published grid is rounded from float64
        base = grid.identity(sizes, torch.device("cpu"), torch.float64).to(
            offsets.device, offsets.dtype
        )
        return offsets.permute(0, 2, 3, 1) + base

    def forward(self, mosaic: Tensor, code: Tensor) -> Tensor:
        """Warp a mosaic (1, 3, 256, 256) by codes (B, 128); not clamped. The second tanh is as
        published.
        """
        offsets = torch.tanh(self.decode_offsets(code))
        return self.sample_at_offsets(mosaic.expand(len(code), -1, -1, -1), offsets)
