"""Loading of the painter that a job's options ask for; onnxruntime is imported for it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thcli.core.errors import WeightsError
from thcli.core.options import Patches, RunOptions

if TYPE_CHECKING:
    from thcli.engines.mesh.patches.painter import PatchPainter


def load_painter(run: RunOptions, patches: Patches) -> PatchPainter | None:
    """Load the networks of the eyes, and of the mouth unless the eyes alone are asked for.

    Raises:
        WeightsError: they are required and absent or refused.
    """
    if patches == "off" or (patches == "auto" and run.licence == "free"):
        return None
    from thcli.engines.mesh.patches import painter

    try:
        asked = patches != "auto"
        return painter.load(run.licence, with_mouth=patches != "eyes", is_asked_for=asked)
    except WeightsError:
        if patches != "auto":
            raise
        return None
