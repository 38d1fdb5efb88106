"""Every stage with its backends, in the order of the pipeline."""

from __future__ import annotations

from thcli.editors.backends import EDITORS, PAINTERS, TEXT_MODELS
from thcli.engines.backends import ENGINES
from thcli.faces.backends import DETECTORS, IDENTITIES, LANDMARKERS, PARSERS
from thcli.motion.backends import FACE_MODELS
from thcli.refiners.backends import REFINERS
from thcli.voices.backends import VOICES
from thcli.weights.backend import Stage

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        DETECTORS,
        LANDMARKERS,
        IDENTITIES,
        PARSERS,
        FACE_MODELS,
        ENGINES,
        REFINERS,
        EDITORS,
        PAINTERS,
        TEXT_MODELS,
        VOICES,
    )
}
