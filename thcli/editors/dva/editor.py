"""Diffusion Video Autoencoders as an Editor: one identity for a clip, landmarks and x_T a frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from thcli.core.options import EditorOptions, RunOptions, Template
from thcli.core.types import Array32, Face, Image
from thcli.diffusion.samplers import invert_ddim
from thcli.editors.blocks.trail import Mask, Trail, fingerprint
from thcli.editors.dva import sampling
from thcli.editors.dva.arcface import INSIDE, LENGTH
from thcli.editors.dva.encoder import Encoder
from thcli.editors.dva.network import NoiseEstimator
from thcli.editors.dva.parsing import BACKGROUND, VIDEO_BACKGROUND
from thcli.engines.blocks.checkpoint import load as load_state
from thcli.engines.blocks.compute import Computing
from thcli.engines.blocks.engine import as_unit, eight_bit
from thcli.faces.backends.common import check_licence
from thcli.weights.tensors import load_tensors

WEIGHTS = "dva"
ENCODER = "encoder."


class Dva(Computing):
    """An Editor. Stateless between calls; x_T and pictures are kept of a batch alone."""

    template: Template = "ffhq"
    units = (LENGTH,)

    def __init__(self, network: NoiseEstimator, encoder: Encoder, run: RunOptions, options: EditorOptions | None = None) -> None:  # fmt: skip
        """Raises DeviceError when the device is not there, UsageError for a number of steps that no stride of the thousand gives."""
        super().__init__(run)
        self.options = options or EditorOptions()
        sampling.schedule(self.options.steps)
        self.fingerprint = fingerprint(encoder.linear)
        self.network, self.encoder = self.ready(network), self.ready(encoder)
        self.crop_size = network.shape.size

    def encode(self, crops: Sequence[Image], faces: Sequence[Face]) -> tuple[Array32, Array32]:
        """Identities (N, 512) of unit length, and landmarks (N, 102) in 0..1, read of the crops alone: faces are not looked at."""
        found: list[tuple[Array32, Array32]] = []
        for here in self._batches(len(crops)):
            with self.computing():
                pictures = self._tensor(crops[here], INSIDE)
                found.append((_array(self.encoder.idnet(pictures)), _array(self.encoder.lndnet(pictures))))
        identities, landmarks = zip(*found, strict=True)
        return np.concatenate(identities), np.concatenate(landmarks)

    def invert(self, crops: Sequence[Image], identity: Array32, landmarks: Array32) -> Array32:
        """x_T (N, 3, S, S) of crops that show this identity (512,), the clip's mean, with these landmarks (N, 102)."""
        found = []
        for here in self._batches(len(crops)):
            with self.computing():
                face = self._face(identity, landmarks[here])
                found.append(
                    _array(
                        sampling.invert(
                            self.network, self._tensor(crops[here], self.crop_size), face, self.options.steps
                        )
                    )
                )
        return np.concatenate(found)

    def decode(self, latents: Array32, identity: Array32, landmarks: Array32) -> list[Image]:
        """Crops (S, S, 3) of x_T (N, 3, S, S) with an identity (512,), edited or not, and landmarks (N, 102)."""
        out: list[Image] = []
        for here in self._batches(len(latents)):
            with self.computing():
                face = self._face(identity, landmarks[here])
                x = torch.from_numpy(latents[here]).to(self.device)
                made = sampling.render(self.network, x, face, self.options.steps, self.options.sampler)
                out += eight_bit((made + 1) / 2)
        return out

    def masks(self, crops: Sequence[Image], background: tuple[int, ...] = VIDEO_BACKGROUND) -> list[Image]:
        """Where the published program lays the edited crop over the frame: (256, 256) each, 255 on the face, else 0."""
        out: list[Image] = []
        for here in self._batches(len(crops)):
            with self.computing():
                found = self.encoder.bgnet(self._tensor(crops[here], INSIDE), background)
                out += list((found[:, 0] * 255).to(torch.uint8).cpu().numpy())
        return out

    def trail(self, crop: Image, face: Face, mask: Mask | None, steps: int) -> Trail:
        """See `blocks.trail.Steerable`: the published program's pairs, x_t at each of a few steps; its face region is the plain one."""
        with torch.no_grad(), self.steering():
            inside = self._tensor([crop], INSIDE)
            start, points = self.encoder.idnet(inside).float(), self.encoder.lndnet(inside).float()
            shown = self._sized(self.encoder.bgnet(inside, BACKGROUND)) if mask is None else self._mask(mask)
            walker = sampling.denoiser(self.network, self.encoder.face(start, points).float(), steps)
            rows = sampling.trail(walker, invert_ddim(walker, self._tensor([crop], self.crop_size)))
            kept = torch.cat(rows).float()

        def after(identity: Tensor) -> Tensor:
            with self.steering():
                told = self.encoder.face(identity, points).float()
                return sampling.one_step_each(sampling.denoiser(self.network, told, steps), kept[:-1])

        return Trail(start, kept[1:], shown, after)

    def _mask(self, mask: Mask) -> Tensor:
        """(1, 1, S, S) in 0..1 of a crop's region (S, S)."""
        return self._sized(torch.from_numpy(np.ascontiguousarray(mask)).to(self.device)[None, None].float() / 255)

    def _sized(self, mask: Tensor) -> Tensor:
        side = self.crop_size
        return mask if mask.shape[-1] == side else F.interpolate(mask, (side, side), mode="bilinear", antialias=True)

    def _face(self, identity: Array32, landmarks: Array32) -> Tensor:
        """z_face (B, 512)."""
        who, how = (torch.from_numpy(np.asarray(a, np.float32)).to(self.device) for a in (identity[None], landmarks))
        return self.encoder.face(who, how).float()

    def _tensor(self, crops: Sequence[Image], side: int) -> Tensor:
        """Crops of any size -> (B, 3, side, side) in [-1, 1]: the encoder sees 256 pixels, whatever the noise estimator does."""
        pixels = torch.from_numpy(np.stack([as_unit(crop, side) for crop in crops]))
        return pixels.to(self.device).permute(0, 3, 1, 2).contiguous() * 2 - 1

    def _batches(self, count: int) -> Iterator[slice]:
        return (slice(first, first + self.batch) for first in range(0, count, self.batch))


def together(identities: Array32) -> Array32:
    """The clip's identity (512,) of those of all its frames (N, 512): their mean, not brought to unit length (z_id,rep)."""
    return np.asarray(identities.mean(0), np.float32)


def load(run: RunOptions, options: EditorOptions | None = None) -> Dva:
    """The published checkpoint. Raises WeightsError when it is not here, is another model's, or --licence refuses it."""
    check_licence(WEIGHTS, run.licence)
    network, encoder = assemble(load_tensors(WEIGHTS, offline=run.offline), WEIGHTS)
    return Dva(network, encoder, run, options)


def assemble(tensors: Mapping[str, Tensor], where: str) -> tuple[NoiseEstimator, Encoder]:
    """The networks of a checkpoint's moving average, prefix taken off; strictly. where: its name, for messages."""
    own = {key: value for key, value in tensors.items() if not key.startswith(ENCODER)}
    encoder = {key.removeprefix(ENCODER): value for key, value in tensors.items() if key.startswith(ENCODER)}
    return load_state(NoiseEstimator(), own, where), load_state(Encoder(), encoder, where)


def _array(values: Tensor) -> Array32:
    found: Array32 = values.float().cpu().numpy()
    return found
