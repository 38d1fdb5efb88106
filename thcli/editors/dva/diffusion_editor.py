"""Common base of DVA's editors: batched inversion and decoding, trajectories for text edits."""

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
from thcli.editors.shared.trajectory import Mask, Trajectory
from thcli.engines.shared.networks.compute import TorchBackend
from thcli.engines.shared.networks.engine import images_from_tensor, to_unit_image


@dataclass(frozen=True, slots=True)
class ConditionedDenoiser:
    """Denoiser conditioned on the identities and landmarks of a batch of images (B, 3, S, S).

    base_image: (B, 3, S, S) in [-1, 1], an image decoded from the condition alone. What is diffused
    is the residual to it, in units of `scale`. None where the images themselves are diffused.
    """

    denoiser: Denoiser
    base_image: Tensor | None = None
    scale: float = 1.0

    def to_residual(self, images: Tensor) -> Tensor:
        """Return the part of the images that is diffused."""
        return images if self.base_image is None else (images - self.base_image) / self.scale

    def from_residual(self, x: Tensor) -> Tensor:
        """Return images from their diffused part; the inverse of `to_residual`."""
        return x if self.base_image is None else self.base_image + self.scale * x


class DiffusionEditor(TorchBackend, ABC):
    """Base of an Editor whose subclasses condition a denoiser. It keeps no state between calls.

    part_lengths: lengths of the parts of an identity, each of which has unit norm.
    movable: the landmarks that an attribute may move along with the identity; none as published.
    table, sampler: the diffusion steps; the editor's own where EditorOptions are silent.
    """

    template: Template = "ffhq"
    part_lengths: tuple[int, ...]
    crop_size: int
    movable: slice = slice(0)

    def __init__(
        self,
        run: RunOptions,
        options: EditorOptions | None,
        steps: int,
        sampler: EditSampler,
        spaced: Callable[[int], Schedule] = sampling.schedule,
    ) -> None:
        """Set up the device and the diffusion steps.

        Args:
            run: device, precision and batch size.
            options: steps and sampler of the user, or None.
            steps, sampler: defaults of this editor.
            spaced: maps a number of steps to a subset of the thousand.

        Raises:
            DeviceError: when the device is not available.
            UsageError: for an impossible number of steps.
        """
        super().__init__(run)
        self.options = options or EditorOptions()
        self.sampler = self.options.sampler or sampler
        self.table = spaced(self.options.steps or steps)

    @abstractmethod
    def condition(
        self, identity: Tensor, landmarks: Tensor, table: Schedule
    ) -> ConditionedDenoiser:
        """Return the denoiser for one identity and B frames.

        Args:
            identity: (1, I).
            landmarks: (B, L).
            table: steps of the inversion and of the decoding.
        """

    @abstractmethod
    def encode_crop(self, crop: Image, face: Face) -> tuple[Tensor, Tensor, Tensor]:
        """Return identity (1, I), landmarks (1, L) and face mask (1, 1, S, S) in 0..1 of one crop.

        All are on the device.
        """

    def move(
        self, crops: Sequence[Image], landmarks: Array32, target: Array32
    ) -> tuple[list[Image], Array32]:
        """Return the crops and landmarks as they are: as published, latents stay in place."""
        return list(crops), landmarks

    def invert(self, crops: Sequence[Image], identity: Array32, landmarks: Array32) -> Array32:
        """Return x_T (N, 3, S, S) of crops.

        Args:
            crops: N crops.
            identity: (I,) mean of the clip.
            landmarks: (N, L).
        """
        found = []
        for here in self.batches(len(crops)):
            with self.inference():
                conditioned = self._condition(identity, landmarks[here])
                residual = conditioned.to_residual(self.tensor(crops[here], self.crop_size))
                latents = sampling.to_latents(conditioned.denoiser, residual, self.sampler)
                found.append(to_numpy(latents))
        return np.concatenate(found)

    def decode(self, latents: Array32, identity: Array32, landmarks: Array32) -> list[Image]:
        """Return crops (S, S, 3) of x_T (N, 3, S, S) with an identity (I,) and landmarks (N, L)."""
        out: list[Image] = []
        for here in self.batches(len(latents)):
            with self.inference():
                conditioned = self._condition(identity, landmarks[here])
                x = torch.from_numpy(latents[here]).to(self.device)
                residual = sampling.from_latents(conditioned.denoiser, x, self.sampler)
                out += images_from_tensor((conditioned.from_residual(residual) + 1) / 2)
        return out

    def trajectory(self, crop: Image, face: Face, mask: Mask | None, steps: int) -> Trajectory:
        """Return the trajectory of one frame; see `editors.shared.trajectory.SteerableEditor`.

        As in the published program it holds x_t at each of a few steps.
        """
        table = sampling.schedule(steps)
        with torch.no_grad(), self.autocast():
            start, landmarks, face_mask = self.encode_crop(crop, face)
            own = self.condition(start, landmarks, table)
            residual = own.to_residual(self.tensor([crop], self.crop_size))
            latents = sampling.to_latents(own.denoiser, residual, "ddim")
            steps_down = torch.cat(sampling.trajectory(own.denoiser, latents)).float()
            images = own.from_residual(steps_down[1:]).float()

        def render(identity: Tensor) -> Tensor:
            with self.autocast():
                conditioned = self.condition(identity, landmarks, table)
                residuals = sampling.step_each(conditioned.denoiser, steps_down[:-1])
                return conditioned.from_residual(residuals)

        shown = face_mask if mask is None else self._resize_mask(mask)
        return Trajectory(start, images, shown, render)

    def _condition(self, identity: Array32, landmarks: Array32) -> ConditionedDenoiser:
        vector, points = (
            torch.from_numpy(np.asarray(a, np.float32)).to(self.device)
            for a in (identity[None], landmarks)
        )
        return self.condition(vector, points, self.table)

    def _resize_mask(self, mask: Mask) -> Tensor:
        """Resize a face mask (H, W), 255 on the face, to (1, 1, S, S) in 0..1."""
        whole = torch.from_numpy(np.ascontiguousarray(mask)).to(self.device)[None, None]
        size = (self.crop_size, self.crop_size)
        return F.interpolate(whole.float() / 255, size, mode="bilinear", antialias=True)

    def tensor(self, crops: Sequence[Image], side: int) -> Tensor:
        """Convert crops of any size to (B, 3, side, side) in [-1, 1]."""
        pixels = torch.from_numpy(np.stack([to_unit_image(crop, side) for crop in crops]))
        return pixels.to(self.device).permute(0, 3, 1, 2).contiguous() * 2 - 1

    def batches(self, count: int) -> Iterator[slice]:
        """Return slices that cover `count` images, one computing batch each."""
        return (slice(first, first + self.batch) for first in range(0, count, self.batch))


def to_numpy(values: Tensor) -> Array32:
    """Return the values as float32 in numpy."""
    found: Array32 = values.float().cpu().numpy()
    return found
