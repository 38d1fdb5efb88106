"""thcli: animate, refine, edit or voice a face in a video.

The public names are resolved on first use, so that `import thcli` and `thcli --help` load neither torch nor av.

>>> import thcli
>>> options = thcli.ReenactOptions(motion=thcli.MotionOptions(region="lips", strength=0.8))
>>> options.motion.strength
0.8
>>> thcli.MotionOptions(strength=9)
Traceback (most recent call last):
thcli.core.errors.UsageError: --strength must be within 0..3, not 9.

    report = thcli.reenact("face.jpg", "drive.mp4", "out.mp4", options, on=print)
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "thcli.core.errors": (
        "DeviceError",
        "MediaError",
        "NoFaceError",
        "OutputError",
        "ThcliError",
        "UsageError",
        "WeightsError",
    ),
    "thcli.core.events": ("Event", "Finished", "Listener", "Started", "Step", "Warned", "silent"),
    "thcli.core.options": (
        "AudioOptions",
        "ChangeOptions",
        "CompareOptions",
        "EditOptions",
        "EditorOptions",
        "FaceOptions",
        "MeshOptions",
        "MotionOptions",
        "OutputOptions",
        "ReadOptions",
        "ReenactOptions",
        "RefineJobOptions",
        "RefineOptions",
        "RunOptions",
        "SpeakOptions",
        "TextOptions",
        "VoiceOptions",
    ),
    "thcli.core.types": ("Crop", "Face", "Frame", "Identity", "Motion"),
    "thcli.pipeline.edit": ("edit",),
    "thcli.pipeline.reenact": ("reenact",),
    "thcli.pipeline.refine": ("refine",),
    "thcli.pipeline.job.job": ("Report",),
    "thcli.pipeline.compare": ("compare",),
    "thcli.pipeline.speak": ("speak",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'thcli' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
