"""Speech-driven motion and video."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Protocol, runtime_checkable

from thcli.core.options import RunOptions, VoiceOptions
from thcli.core.protocols.engines import CropView
from thcli.core.types import Array32, Image, Motion, Timestamps


class Speech(Protocol):
    """A speech recording: mono, 16 kHz, normalised in loudness.

    It can be read from its beginning as often as needed, block by block.
    """

    @property
    def rate(self) -> int:
        """Samples per second."""
        ...

    @property
    def length(self) -> int:
        """Number of samples."""
        ...

    def blocks(self, seconds: float = 10.0) -> Iterator[Array32]:
        """Yield all samples in order, as (N,) float32 blocks of about `seconds`."""
        ...


class Voice(Protocol):
    """A speech-to-motion model. Its memory does not depend on the length of the recording."""

    @property
    def motion_kind(self) -> str:
        """`Motion.kind` of the result; an engine with this `motion_kind` renders it."""
        ...

    def speak(
        self, speech: Speech, pts: Timestamps, time_base: Fraction, options: VoiceOptions
    ) -> Iterator[Motion]:
        """Generate the motion of a face that speaks a recording.

        Random numbers depend on the seed of RunOptions and the position in the recording, not on
        the windows.

        Args:
            speech: the recording.
            pts: (T,) increasing time stamps in units of time_base, at a constant or variable rate;
                0 is the beginning of the recording.
            time_base: seconds.
            options: head pose, blinks, mouth opening, temperature.

        Yields:
            Windows of a few hundred rows in order, one row per time stamp.
        """
        ...


@runtime_checkable
class MeshConvertibleVoice(Voice, Protocol):
    """A voice whose motion few engines read, and which can also drive the mesh engine."""

    def as_mesh(self, run: RunOptions) -> Voice:
        """Return the voice with its motion converted to the kind "mesh".

        Raises:
            WeightsError: the conversion needs weights that are not installed.
        """
        ...


@runtime_checkable
class RenderingVoice(CropView, Protocol):
    """A speech-to-video model. It renders the face itself, where a Voice drives an engine."""

    def render_frames(
        self,
        portrait: Image,
        speech: Speech,
        pts: Timestamps,
        time_base: Fraction,
        options: VoiceOptions,
    ) -> Iterator[Image]:
        """Render a portrait that speaks a recording, in memory that does not depend on its length.

        Args:
            portrait: crop (crop_size, crop_size, 3).
            speech: like pts, time_base and options as for `Voice.speak`.

        Yields:
            One crop (crop_size, crop_size, 3) per time stamp, in order.
        """
        ...
