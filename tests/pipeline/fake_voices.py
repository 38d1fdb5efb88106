"""Two voices without weights for the tests of `speak`: one opens the jaw where it is loud, one paints a bar that is as high as it is loud."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from thcli.core.options import RunOptions, VoiceOptions
from thcli.core.protocols import Speech
from thcli.core.types import Array, Image, Motion, Stamps
from thcli.motion.observe import KIND
from thcli.motion.sliders import Script, motion

LOUD = 0.05


def loudness(speech: Speech, pts: Stamps, time_base: Fraction) -> Array:
    """(T,) 1 where the sound around a time stamp is louder than LOUD, else 0."""
    sound = np.concatenate(list(speech.blocks()))
    at = np.minimum((pts * float(time_base * speech.rate)).astype(int), len(sound) - 1)
    return np.array([float(np.abs(sound[max(i - 200, 0) : i + 200]).max() > LOUD) for i in at])


class Jaw:
    """A Voice of windows of 10 frames."""

    motion_kind = KIND

    def speak(
        self, speech: Speech, pts: Stamps, time_base: Fraction, options: VoiceOptions
    ) -> Iterator[Motion]:
        jaw = loudness(speech, pts, time_base) * options.mouth
        whole = motion(Script(jaw=jaw), pts, time_base)
        for start in range(0, len(pts), 10):
            yield whole[start : start + 10]


class Bar:
    """A PictureVoice."""

    crop_size = 64
    template = "square"
    mask = None

    def pictures(
        self,
        portrait: Image,
        speech: Speech,
        pts: Stamps,
        time_base: Fraction,
        options: VoiceOptions,
    ) -> Iterator[Image]:
        for loud in loudness(speech, pts, time_base):
            picture = portrait.copy()
            if loud:
                picture[16:48, 16:48] = (255, 0, 0)
            yield picture


def jaw(run: RunOptions) -> Jaw:
    return Jaw()


def bar(run: RunOptions) -> Bar:
    return Bar()
