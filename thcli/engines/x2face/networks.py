"""The X2Face model, keys as published, with its pose-driven variant.

Pictures are (B, 3, 256, 256) float32 RGB in [0, 1]; grids as in `blocks.grid`. `aligned` is align_corners of both the grid reading
and the bilinear upsampling: True for the published checkpoints (torch 0.2).
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
WIDTHS = (64, 128, 256, 512, 512, 512, 512)  # after each halving but the last


class Level(nn.Module):
    """One halving of the U-Net and all that lies inside of it.

    widths: channels after each halving, the code last.  joined: the input is appended to the output.  last: what ends level 0.
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
            self.submodule = Level(
                depth + 1, width, width, widths, joined=joined, last=last, aligned=aligned
            )
        self.innermost, self.joined = innermost, joined and depth > 0

    def encode(self, x: Tensor) -> list[Tensor]:
        """The inputs of this level and of all inside, the code last."""
        inner = self.down(x)
        return [x, inner] if self.innermost else [x, *self.submodule.encode(inner)]

    def decode(self, inputs: list[Tensor]) -> Tensor:
        """From what `encode` gave; levels that are not joined only look at the code."""
        inner = inputs[-1] if self.innermost else self.submodule.decode(inputs[1:])
        out: Tensor = self.up(inner)
        return torch.cat([out, inputs[0]], 1) if self.joined else out


class PoseLevel(Level):
    """The innermost level of the pose-driven sampler: maps between code and three angles."""

    def __init__(self, widths: Sequence[int], *, aligned: bool):
        outer, code = widths[-2:]
        super().__init__(
            len(widths) - 1, outer, outer, widths, joined=False, last=nn.Tanh(), aligned=aligned
        )
        self.posefrombottle = nn.Linear(code, 3)
        self.bottlefrompose = nn.Sequential(nn.Linear(3, code, bias=False), nn.BatchNorm1d(code))


class Network(nn.Module):
    """A U-Net under the published prefix netG.model."""

    def __init__(
        self, outputs: int, widths: Sequence[int], *, joined: bool, last: nn.Module, aligned: bool
    ):
        super().__init__()
        self.netG = nn.ModuleDict(
            {"model": Level(0, 3, outputs, widths, joined=joined, last=last, aligned=aligned)}
        )

    @property
    def level(self) -> Level:
        model = self.netG["model"]
        assert isinstance(model, Level)
        return model

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """The output and the rectified code, as published."""
        inputs = self.level.encode(picture)
        return self.level.decode(inputs), F.relu(inputs[-1])


class X2Face(nn.Module):
    """Embedding and driving network.

    posed: the variant whose code can be moved to wanted angles.  narrow: divides every width (1: as published).
    """

    VERBATIM = True  # it paints offsets, read at 256 pixels

    def __init__(self, *, aligned: bool = True, posed: bool = False, narrow: int = 1):
        super().__init__()
        unwrapping, driving = (
            [width // narrow for width in (*WIDTHS, code)] for code in (512, CODE)
        )
        self.pix2pixUnwrapped = Network(
            3, unwrapping, joined=True, last=nn.Identity(), aligned=aligned
        )
        self.pix2pixSampler = Network(2, driving, joined=False, last=nn.Tanh(), aligned=aligned)
        if posed:
            level = self.pix2pixSampler.level
            for _ in range(len(WIDTHS) - 1):
                level = level.submodule
            level.submodule = PoseLevel(driving, aligned=aligned)
        self.aligned, self.code_size = aligned, driving[-1]

    def unwrap(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """The source laid out as a face seen from the front (B, 3, 256, 256), and its raw confidence (B, 1, 256, 256)."""
        raw = self.pix2pixUnwrapped(picture)[0].float()
        return self.read(picture, torch.tanh(raw[:, :2].contiguous())), raw[:, 2:]

    def mosaic(self, pictures: Tensor, floor: float = 0.1) -> Tensor:
        """Sources (N, 3, 256, 256) of one person -> (1, 3, 256, 256), weighted by exp(confidence) + floor."""
        each = [self.unwrap(picture[None]) for picture in pictures]
        faces, confidence = (torch.cat(parts) for parts in zip(*each, strict=True))
        weight = torch.exp(confidence) + floor
        return (weight * faces).sum(0, keepdim=True) / weight.sum(0, keepdim=True)

    def code(self, picture: Tensor) -> Tensor:
        """Driving picture -> code (B, 128), not rectified: all that the driver says."""
        return self.pix2pixSampler.level.encode(picture)[-1].flatten(1).float()

    def field(self, code: Tensor) -> Tensor:
        """Code (B, 128) -> the sampler's output (B, 2, 256, 256), already between -1 and 1."""
        out: Tensor = self.pix2pixSampler.level.decode(
            [code] * (len(WIDTHS) + 1) + [code[..., None, None]]
        )
        return out.float()

    def posed(self, code: Tensor, pose: Tensor) -> Tensor:
        """The code (B, 128) moved to wanted angles (B, 3) in radians, roll pitch yaw; only of the posed variant."""
        level = next(m for m in self.modules() if isinstance(m, PoseLevel))
        out: Tensor = (
            code + level.bottlefrompose(pose) - level.bottlefrompose(level.posefrombottle(code))
        )
        return out

    def read(self, picture: Tensor, offsets: Tensor) -> Tensor:
        """(B, 3, h, w) at identity + offsets (B, 2, h, w)."""
        return grid.sample(picture, self.where(offsets), aligned=self.aligned)

    def where(self, offsets: Tensor) -> Tensor:
        """(B, h, w, 2) reading grid of offsets (B, 2, h, w)."""
        sizes = (offsets.shape[2], offsets.shape[3])
        # the published grid is rounded from doubles
        base = grid.identity(sizes, torch.device("cpu"), torch.float64).to(
            offsets.device, offsets.dtype
        )
        return offsets.permute(0, 2, 3, 1) + base

    def forward(self, mosaic: Tensor, code: Tensor) -> Tensor:
        """The mosaic (1, 3, 256, 256) as the codes (B, 128) say; not clamped. The second tanh is as published."""
        offsets = torch.tanh(self.field(code))
        return self.read(mosaic.expand(len(code), -1, -1, -1), offsets)
