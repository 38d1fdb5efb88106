"""Context of one reenactment: all that its stages share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from thcli.core.options import ReenactOptions
from thcli.media.atomic_file import AtomicFile
from thcli.media.info import MediaInfo
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.tracking import VideoSelection
from thcli.pipeline.render.postprocess import PostProcessor


@dataclass(frozen=True, slots=True)
class RenderJob:
    """Driver, options and loaded networks of one reenactment.

    driver: video, image, folder or motion file whose motion is transferred.
    options: all options.
    post_processor: refinement, background and output of the rendered frames.
    job: clock, progress and temporary files.
    """

    driver: MediaInfo
    options: ReenactOptions
    post_processor: PostProcessor
    job: Job

    def motion_path(self) -> Path:
        """Return the path for the motion of the driver; --save-motion is complete when the job is.

        Raises OutputError when the file of --save-motion exists or cannot be written.
        """
        kept = self.options.save_motion
        if kept is None or self.driver.kind == "motion":
            return self.job.temp_dir() / "driver.motion.safetensors"
        return self.job.enter(AtomicFile(kept, self.options.output.overwrite)).partial

    @property
    def driving_face(self) -> VideoSelection:
        """The range and the face of the driver that are used."""
        return VideoSelection(self.driver, self.options.read, self.options.faces.select)
