"""Correction of an engine's frames towards their driver, in `reenact --refine`."""

from __future__ import annotations

from thcli.core.options import changed_options
from thcli.engines.backends import MESH_ENGINE
from thcli.motion.file.reader import MotionFile
from thcli.motion.observe import KIND
from thcli.pipeline.refining.correction import DriverCorrection
from thcli.pipeline.render.render_job import RenderJob
from thcli.pipeline.sources.source_image import SourceImage

# Options that change the face beyond what the driver does: the driver is no target there.
OTHER_TARGETS = ("view", "expression", "liveportrait", "x2face", "driver", "also")


def load_correction(render_job: RenderJob, source: SourceImage) -> DriverCorrection | None:
    """Load the correction of a job; None where the driver does not say what the face should do.

    The mesh engine's frames need none: it follows the driver's mesh itself.

    Raises:
        ThcliError: as `observe_driver`.
    """
    options, driver = render_job.options, render_job.driver
    if options.refine is None or options.engine == MESH_ENGINE or len(source.faces) > 1:
        return None
    changed = (name.split(".")[0] for name, _ in changed_options(options))
    if any(name in OTHER_TARGETS for name in changed):
        return None
    if driver.kind == "motion" and MotionFile(driver.path).kind != KIND:
        return None
    return DriverCorrection.load(
        render_job.driving_face,
        options.motion,
        options.run,
        render_job.post_processor.face_finder,
        render_job.job,
    )
