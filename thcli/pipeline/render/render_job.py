"""Context of one reenactment: all that its stages share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from thcli.core.options import ReenactOptions
from thcli.core.protocols import Engine
from thcli.media.atomic_file import AtomicFile
from thcli.media.info import MediaInfo
from thcli.motion.control.controls import Controls, write_controlled
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.driver import ObservedDriver, observe_driver
from thcli.pipeline.observe.tracking import VideoSelection
from thcli.pipeline.render.postprocess import PostProcessor
from thcli.pipeline.sources.source_image import SourceImage


@dataclass(frozen=True, slots=True)
class RenderJob:
    """Driver, options and loaded networks of one reenactment.

    driver: video, image, folder or motion file whose motion is transferred.
    options: all options.
    post_processor: refinement, background and output of the rendered frames.
    job: clock, progress and temporary files.
    controls: sliders and turns that are added to the motion.
    pictures: further pictures of the source's person.
    """

    driver: MediaInfo
    options: ReenactOptions
    post_processor: PostProcessor
    job: Job
    controls: Controls = field(default_factory=Controls)
    pictures: Sequence[SourceImage] = ()

    def motion_path(self) -> Path:
        """Return the path for the motion of the driver; --save-motion is complete when the job is.

        Raises OutputError when the file of --save-motion exists or cannot be written.
        """
        kept = self.options.save_motion
        if kept is None:
            return self.job.temp_dir() / "driver.motion.safetensors"
        return self.job.enter(AtomicFile(kept, self.options.output.overwrite)).partial

    @property
    def driving_face(self) -> VideoSelection:
        """The range and the face of the driver that are used."""
        return VideoSelection(self.driver, self.options.read, self.options.faces.select)

    def observe(self, engine: Engine) -> ObservedDriver:
        """Extract the motion of the driving face, with the controls.

        Raises:
            ThcliError: as `observe_driver` and `write_controlled`.
        """
        return self.observe_face(self.driving_face, engine, self.motion_path())

    def observe_face(self, driver: VideoSelection, engine: Engine, path: Path) -> ObservedDriver:
        """Extract the motion of the chosen face of a driver, with the controls, in a file."""
        finder, controls = self.post_processor.face_finder, self.controls
        if controls.is_empty:
            return observe_driver(driver, path, engine, finder, self.job)
        plain = self.job.temp_dir() / "plain.motion.safetensors"
        observed = observe_driver(driver, plain, engine, finder, self.job)
        motion = write_controlled(observed.motion, controls, path, self.options.motion)
        return replace(observed, motion=motion)
