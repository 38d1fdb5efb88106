"""Fake voices for `speak`: motion and images that follow the loudness."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from thcli.core.options import RenderOptions, RunOptions, VoiceOptions
from thcli.core.protocols import Speech
from thcli.core.types import Array, Image, Motion, Timestamps
from thcli.engines.mesh.engine import MeshEngine
from thcli.motion.observe import KIND
from thcli.motion.sliders import SliderCurves, motion_from_sliders

LOUD = 0.05


def loudness(speech: Speech, pts: Timestamps, time_base: Fraction) -> Array:
    """Return 1 where the sound around a time stamp exceeds LOUD, else 0, (T,)."""
    sound = np.concatenate(list(speech.blocks()))
    at = np.minimum((pts * float(time_base * speech.rate)).astype(int), len(sound) - 1)
    return np.array([float(np.abs(sound[max(i - 200, 0) : i + 200]).max() > LOUD) for i in at])


class JawVoice:
    """A Voice that opens the jaw where it is loud, in windows of 10 frames."""

    motion_kind = KIND

    def speak(
        self, speech: Speech, pts: Timestamps, time_base: Fraction, options: VoiceOptions
    ) -> Iterator[Motion]:
        jaw = loudness(speech, pts, time_base) * options.mouth
        whole = motion_from_sliders(SliderCurves(jaw=jaw), pts, time_base)
        for start in range(0, len(pts), 10):
            yield whole[start : start + 10]


class BarVoice:
    """A RenderingVoice that draws a red square where it is loud."""

    crop_size = 64
    template = "square"
    mask = None

    def render_frames(
        self,
        portrait: Image,
        speech: Speech,
        pts: Timestamps,
        time_base: Fraction,
        options: VoiceOptions,
    ) -> Iterator[Image]:
        for loud in loudness(speech, pts, time_base):
            image = portrait.copy()
            if loud:
                image[16:48, 16:48] = (255, 0, 0)
            yield image


def jaw(run: RunOptions) -> JawVoice:
    return JawVoice()


def bar(run: RunOptions) -> BarVoice:
    return BarVoice()


class OtherEngine(MeshEngine):
    """The mesh engine, whose motion no voice writes."""

    motion_kind = "other"


def other_engine(run: RunOptions, options: RenderOptions) -> OtherEngine:
    return OtherEngine(run, options.mesh.matte, mouth="synthetic")
