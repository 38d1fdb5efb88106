"""Fake backends of every stage that run out of memory, or fail on one frame.

A backend has room for `FAULTS.room` items per call, and computes no numbers for the frame
`FAULTS.broken`, counted from 0 in the order in which its images come first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.pipeline.fake_painters import DarkeningPainter
from tests.pipeline.fake_refiners import RedRefiner
from tests.pipeline.fake_voices import BarVoice, JawVoice
from thcli.core.errors import NotFiniteError
from thcli.core.options import RefineOptions, RenderOptions, RunOptions, Template, VoiceOptions
from thcli.core.protocols import Speech
from thcli.core.types import (
    Array32,
    Coefficients,
    Face,
    Frame,
    Image,
    Motion,
    Painted,
    Timestamps,
)
from thcli.engines.mesh.engine import MeshEngine
from thcli.engines.shared.networks.engine import TorchCropEngine
from thcli.faces.parsing import CLASSES

ALL = 1000


@dataclass
class Faults:
    """Faults of the backends of a test, and their record.

    stage: the one that is faulty.  room: items per call.  broken: number of the frame that fails.
    calls: items of each call of the stage.
    """

    stage: str = ""
    room: int = ALL
    broken: int = -1
    calls: list[int] = field(default_factory=list)
    known: dict[str, list[bytes]] = field(default_factory=dict)

    def call(self, stage: str, items: int) -> None:
        """Record a call. Raises torch's error when there is no room for its items."""
        if stage != self.stage:
            return
        self.calls.append(items)
        if items > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def breaks(self, stage: str, image: Image) -> bool:
        """Return True for the image of the broken frame."""
        known, data = self.known.setdefault(stage, []), image.tobytes()
        if data not in known:
            known.append(data)
        return stage == self.stage and known.index(data) == self.broken


FAULTS = Faults()


class FaultyMesh(MeshEngine):
    """The mesh engine, whose windows may be too large."""

    parallel = False

    def render(self, source: Any, motion: Motion, frames: Sequence[Frame] | None) -> list[Image]:
        FAULTS.call("render", len(motion))
        return super().render(source, motion, frames)


class FaultyNetwork(TorchCropEngine):
    """A torch engine of kind "flat" that darkens the source by the driver's mean."""

    motion_kind = "flat"

    def __init__(self, run: RunOptions) -> None:
        super().__init__(run, {"mean": (1,)})
        self.observed = self.rendered = 0

    def observe(self, frames: Sequence[Frame], faces: Sequence[Face | None]) -> Motion:
        FAULTS.call("observe", len(frames))
        return super().observe(frames, faces)

    def extract_motion(self, images: Tensor) -> dict[str, Tensor]:
        means = images.mean((1, 2, 3))[:, None]
        for row, image in zip(means, images, strict=True):
            if FAULTS.breaks("observe", image.numpy()):
                row[:] = torch.nan
        return {"mean": means}

    def encode(self, image: Tensor, rows: dict[str, Tensor]) -> Tensor:
        return image

    def make_transfer(self, source: Any, driving: Any, options: Any) -> Any:
        return lambda rows: {"mean": rows["mean"]}

    def synthesize(self, encoded: Tensor, rows: dict[str, Tensor]) -> Tensor:
        dark = (encoded * rows["mean"][..., None, None]).clone()
        for image, mean in zip(dark, rows["mean"], strict=True):
            if FAULTS.breaks("render", mean.numpy()):
                image[1, 3, 3] = torch.inf
        return dark


class FaultyRefiner(RedRefiner):
    """RedRefiner with faults."""

    def refine(
        self,
        coarse: Sequence[Image],
        source: Array32,
        driving: Array32,
        numbers: Sequence[int],
        options: RefineOptions,
        reference_crops: Sequence[Image] | None = None,
        *,
        source_is_reference: bool = False,
    ) -> list[Image]:
        FAULTS.call("refine", len(coarse))
        if FAULTS.stage == "refine" and FAULTS.broken in numbers:
            raise NotFiniteError
        return super().refine(coarse, source, driving, numbers, options)


class FaultyParser:
    """A parser: skin in the middle, background around it."""

    crop_size = 64
    template: Template = "square"

    def parse(self, crops: Sequence[Image], faces: Sequence[Face]) -> Array32:
        FAULTS.call("parse", len(crops))
        out = np.zeros((len(crops), len(CLASSES), 64, 64), np.float32)
        out[:, 0] = 1
        out[:, :2, 8:56, 8:56] = np.array([0, 1], np.float32)[:, None, None]
        for planes, crop in zip(out, crops, strict=True):
            if FAULTS.breaks("parse", crop):
                planes[3, 5, 5] = np.nan
        return out


class FaultyPainter(DarkeningPainter):
    """A painter that subtracts 30 levels of green. means: appearance of every crop painted."""

    crop_size = 96
    means: list[float] = []

    def measure_appearance(
        self, crops: Sequence[Image], faces: Sequence[Face], regions: Array32
    ) -> Array32:
        FAULTS.call("learn", len(crops))
        rows = [[np.nan if FAULTS.breaks("learn", crop) else float(crop.mean())] for crop in crops]
        return np.array(rows, np.float32)

    def paint(
        self, crops: Sequence[Image], faces: Sequence[Face], regions: Array32, prepared: Array32
    ) -> list[Painted]:
        FAULTS.call("paint", len(crops))
        if any([FAULTS.breaks("paint", crop) for crop in crops]):
            raise NotFiniteError
        FaultyPainter.means += [float(prepared[0])] * len(crops)
        return [
            Painted(np.clip(crop - np.array([0.0, 30, 0]), 0, 255).astype(np.uint8))
            for crop in crops
        ]


class FaultyModel:
    """A 3-D face model with one parameter, the mean of the image."""

    expression_names: Sequence[str] = ("smile",)
    uses_images = True

    def fit(self, images: Sequence[Image], faces: Sequence[Face]) -> Coefficients:
        FAULTS.call("fit", len(images))
        rows = np.array(
            [[np.nan if FAULTS.breaks("fit", image) else image.mean()] for image in images],
            np.float32,
        )
        count = len(images)
        return Coefficients(
            model="faulty",
            rotation=np.zeros((count, 3), np.float32),
            scale=np.ones(count, np.float32),
            translation=np.zeros((count, 2), np.float32),
            identity=np.zeros((count, 1), np.float32),
            expression=rows,
            native={},
        )


class FaultyVoice(JawVoice):
    """JawVoice whose window with the broken frame is infinite."""

    def speak(
        self, speech: Speech, pts: Timestamps, time_base: Fraction, options: VoiceOptions
    ) -> Iterator[Motion]:
        for start, motion in enumerate(super().speak(speech, pts, time_base, options)):
            if FAULTS.stage == "speak" and start * 10 <= FAULTS.broken < start * 10 + len(motion):
                motion.arrays["expression"][FAULTS.broken - start * 10] = np.inf
            yield motion


class FaultyBar(BarVoice):
    """BarVoice that fails at the broken frame."""

    def render_frames(
        self,
        portrait: Image,
        speech: Speech,
        pts: Timestamps,
        time_base: Fraction,
        options: VoiceOptions,
    ) -> Iterator[Image]:
        images = super().render_frames(portrait, speech, pts, time_base, options)
        for number, image in enumerate(images):
            if FAULTS.stage == "speak" and number == FAULTS.broken:
                raise NotFiniteError
            yield image


def mesh(run: RunOptions, options: RenderOptions) -> FaultyMesh:
    return FaultyMesh(run, "off", mouth="synthetic")


def network(run: RunOptions, options: RenderOptions | None = None) -> FaultyNetwork:
    return FaultyNetwork(run)


def refiner(run: RunOptions) -> FaultyRefiner:
    return FaultyRefiner(run)


def parser(run: RunOptions) -> FaultyParser:
    return FaultyParser()


def painter(run: RunOptions) -> FaultyPainter:
    FaultyPainter.means = []
    return FaultyPainter()


def model(run: RunOptions) -> FaultyModel:
    return FaultyModel()


def voice(run: RunOptions) -> FaultyVoice:
    return FaultyVoice()


def bar(run: RunOptions) -> FaultyBar:
    return FaultyBar()
