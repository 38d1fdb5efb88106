"""What DVA's editors share: pictures to x_T and back in batches, given the faces that they show; a frame's trail for text edits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from thcli.core.options import EditorOptions, EditSampler, RunOptions, Template
from thcli.core.types import Array32, Face, Image
from thcli.diffusion.samplers import Denoiser
from thcli.diffusion.schedule import Schedule
from thcli.editors.dva import sampling
from thcli.editors.shared.trajectory import Mask, Trail
from thcli.engines.shared.networks.compute import Computing
from thcli.engines.shared.networks.engine import as_unit, images_from_tensor


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of pictures (B, 3, S, S) when it is known whose faces they show, and how they move.

    walker: the network told so.  painting: (B, 3, S, S) in [-1, 1], what that alone says of them: what is diffused is what it leaves, in
    units of `scale`; None where the pictures themselves are diffused.
    """

    walker: Denoiser
    painting: Tensor | None = None
    scale: float = 1.0

    def clean(self, pictures: Tensor) -> Tensor:
        """What of pictures is diffused."""
        return pictures if self.painting is None else (pictures - self.painting) / self.scale

    def pictures(self, x: Tensor) -> Tensor:
        """The inverse of `clean`."""
        return x if self.painting is None else self.painting + self.scale * x


class Diffusing(Computing, ABC):
    """The half of an Editor that follows from what is told of faces. Stateless between calls; x_T and pictures are kept of a batch alone.

    units: the lengths of the parts of an identity that are each of unit length.  table, sampler: the steps that are taken and how, the
    editor's own where EditorOptions do not say.
    """

    template: Template = "ffhq"
    units: tuple[int, ...]
    crop_size: int

    def __init__(
        self,
        run: RunOptions,
        options: EditorOptions | None,
        steps: int,
        sampler: EditSampler,
        spaced: Callable[[int], Schedule] = sampling.schedule,
    ) -> None:
        """steps, sampler: what is usual for this editor.  spaced: a number of steps -> which of the thousand.

        Raises DeviceError, UsageError for a number of steps that is not possible.
        """
        super().__init__(run)
        self.options = options or EditorOptions()
        self.sampler = self.options.sampler or sampler
        self.table = spaced(self.options.steps or steps)

    @abstractmethod
    def told(self, identity: Tensor, landmarks: Tensor, table: Schedule) -> Told:
        """identity: (1, I).  landmarks: (B, L).  table: the steps of the way to noise, and of the way back."""

    @abstractmethod
    def seen(self, crop: Image, face: Face) -> tuple[Tensor, Tensor, Tensor]:
        """Identity (1, I) and landmarks (1, L) of one crop, on the device, and its face's region (1, 1, S, S) in 0..1."""

    def invert(self, crops: Sequence[Image], identity: Array32, landmarks: Array32) -> Array32:
        """x_T (N, 3, S, S) of crops that show this identity (I,), the clip's mean, with these landmarks (N, L)."""
        found = []
        for here in self.batches(len(crops)):
            with self.computing():
                told = self._told(identity, landmarks[here])
                clean = told.clean(self.tensor(crops[here], self.crop_size))
                found.append(array(sampling.up(told.walker, clean, self.sampler)))
        return np.concatenate(found)

    def decode(self, latents: Array32, identity: Array32, landmarks: Array32) -> list[Image]:
        """Crops (S, S, 3) of x_T (N, 3, S, S) with an identity (I,), edited or not, and landmarks (N, L)."""
        out: list[Image] = []
        for here in self.batches(len(latents)):
            with self.computing():
                told = self._told(identity, landmarks[here])
                x = torch.from_numpy(latents[here]).to(self.device)
                made = told.pictures(sampling.down(told.walker, x, self.sampler))
                out += images_from_tensor((made + 1) / 2)
        return out

    def trail(self, crop: Image, face: Face, mask: Mask | None, steps: int) -> Trail:
        """See `blocks.trail.Steerable`: the published program's pairs, x_t at each of a few steps."""
        table = sampling.schedule(steps)
        with torch.no_grad(), self.steering():
            start, points, shown = self.seen(crop, face)
            own = self.told(start, points, table)
            clean = own.clean(self.tensor([crop], self.crop_size))
            kept = torch.cat(
                sampling.trail(own.walker, sampling.up(own.walker, clean, "ddim"))
            ).float()
            before = own.pictures(kept[1:]).float()

        def after(identity: Tensor) -> Tensor:
            with self.steering():
                told = self.told(identity, points, table)
                return told.pictures(sampling.one_step_each(told.walker, kept[:-1]))

        return Trail(start, before, shown if mask is None else self._mask(mask), after)

    def _told(self, identity: Array32, landmarks: Array32) -> Told:
        who, how = (
            torch.from_numpy(np.asarray(a, np.float32)).to(self.device)
            for a in (identity[None], landmarks)
        )
        return self.told(who, how, self.table)

    def _mask(self, mask: Mask) -> Tensor:
        """(1, 1, S, S) in 0..1 of a crop's region (S, S)."""
        whole = (
            torch.from_numpy(np.ascontiguousarray(mask)).to(self.device)[None, None].float() / 255
        )
        return F.interpolate(
            whole, (self.crop_size, self.crop_size), mode="bilinear", antialias=True
        )

    def tensor(self, crops: Sequence[Image], side: int) -> Tensor:
        """Crops of any size -> (B, 3, side, side) in [-1, 1]."""
        pixels = torch.from_numpy(np.stack([as_unit(crop, side) for crop in crops]))
        return pixels.to(self.device).permute(0, 3, 1, 2).contiguous() * 2 - 1

    def batches(self, count: int) -> Iterator[slice]:
        """So many pictures, as many at a time as are computed together."""
        return (slice(first, first + self.batch) for first in range(0, count, self.batch))


def array(values: Tensor) -> Array32:
    """On the CPU, in numpy."""
    found: Array32 = values.float().cpu().numpy()
    return found
