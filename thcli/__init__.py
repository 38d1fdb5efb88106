"""Talking-head video: animate, refine, edit or voice a face.

Verbs take paths and return a report; `iterate` runs them on arrays. docs/python-api.md shows all
of it. Names are imported on first use, so that `import thcli` loads neither torch nor av.

>>> import thcli
>>> options = thcli.ReenactOptions(motion=thcli.MotionOptions(region="lips", strength=0.8))
>>> options.motion.strength
0.8
>>> thcli.MotionOptions(strength=9)
Traceback (most recent call last):
thcli.core.errors.UsageError: --strength must be within 0..3, not 9.

    report = thcli.reenact("face.jpg", "drive.mp4", "out.mp4", options, on=thcli.progress_bar())
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Libraries read these before their first use. onnxruntime from 1.29 on, which leaves files in the
# cache and the temporary folder, too, and Ray report what they run to their makers. SVT-AV1 writes
# its configuration to standard error, and has no other switch for it; 1 leaves its errors.
for _variable, _quiet in (
    ("ORT_DISABLE_TELEMETRY", "1"),
    ("RAY_USAGE_STATS_ENABLED", "0"),
    ("SVT_LOG", "1"),
):
    os.environ.setdefault(_variable, _quiet)

_HOMES = {
    "thcli.core.errors": (
        "DeviceError",
        "DeviceMemoryError",
        "MediaError",
        "NoFaceError",
        "NotFiniteError",
        "OutputError",
        "ThcliError",
        "UsageError",
        "WeightsError",
    ),
    "thcli.core.events": (
        "Event",
        "Finished",
        "Listener",
        "Started",
        "Step",
        "Warned",
        "silent",
    ),
    "thcli.core.options": (
        "A2mPublishedTrainOptions",
        "A2mTrainOptions",
        "AlignOptions",
        "AtlasTrainOptions",
        "AttributeTrainOptions",
        "AudioOptions",
        "BenchOptions",
        "CompositingOptions",
        "CompareOptions",
        "CropOptions",
        "DetectOptions",
        "DiffusedHeadsTrainOptions",
        "DiffusionVoiceOptions",
        "DvaPublishedTrainOptions",
        "DvaTrainOptions",
        "EditEvaluateOptions",
        "EditOptions",
        "EditorOptions",
        "EncodeOptions",
        "EvaluateOptions",
        "ExpressionOptions",
        "FaceOptions",
        "FaceVid2VidTrainOptions",
        "FadmPublishedTrainOptions",
        "FadmTrainOptions",
        "FindOptions",
        "FootageOptions",
        "FitOptions",
        "FommTrainOptions",
        "IdentityTrainOptions",
        "JudgeTrainOptions",
        "LabelledTrainOptions",
        "LivePortraitOptions",
        "MemoryOptions",
        "MeshOptions",
        "MonkeyNetTrainOptions",
        "MotionOptions",
        "MouthTrainOptions",
        "OutputOptions",
        "ParseOptions",
        "ParseTrainOptions",
        "PatchTrainOptions",
        "PasteJobOptions",
        "PasteOptions",
        "PrepareOptions",
        "ProvenanceOptions",
        "Real3dAdapterTrainOptions",
        "Real3dTrainOptions",
        "RemoverTrainOptions",
        "ResshiftTrainOptions",
        "ReadOptions",
        "ReceiveOptions",
        "Real3dOptions",
        "RecombineOptions",
        "ReenactOptions",
        "RefineEvaluateOptions",
        "RefineJobOptions",
        "RefineOptions",
        "RenderOptions",
        "RunOptions",
        "ShowOptions",
        "SpeakOptions",
        "StabilityEvaluateOptions",
        "StabilizationOptions",
        "StudyOptions",
        "TemplateOptions",
        "TextOptions",
        "TrackOptions",
        "TrainOptions",
        "TransmitEvaluateOptions",
        "TransmitOptions",
        "ViewOptions",
        "ViewerOptions",
        "VoiceEvaluateOptions",
        "VoiceOptions",
        "WarpOptions",
        "X2FaceMapTrainOptions",
        "X2FaceOptions",
        "X2FaceTrainOptions",
    ),
    "thcli.core.progress": ("progress_bar",),
    "thcli.core.protocols": (
        "CropEngine",
        "Detector",
        "Editor",
        "EncodedGroup",
        "Engine",
        "FaceModel",
        "GroupEngine",
        "IdentityEncoder",
        "Landmarker",
        "Painter",
        "Parser",
        "PicturesEngine",
        "Refiner",
        "RenderingVoice",
        "Speech",
        "VideoSourceEngine",
        "Voice",
        "VoiceDrivenEngine",
    ),
    "thcli.core.types": (
        "Coefficients",
        "Crop",
        "Face",
        "Frame",
        "Identity",
        "Motion",
    ),
    "thcli.media": (
        "MediaInfo",
        "read_image",
    ),
    "thcli.pipeline.arrays": (
        "iterate",
        "read_frames",
        "write_frames",
    ),
    "thcli.pipeline.backends": ("STAGES",),
    "thcli.pipeline.compare": ("compare",),
    "thcli.pipeline.edit": ("edit",),
    "thcli.pipeline.inspect": ("Inspection", "inspect"),
    "thcli.pipeline.job.job": ("ItemResult", "Report"),
    "thcli.pipeline.observe.face_finder": ("FaceFinder",),
    "thcli.pipeline.observe.inputs": ("probe",),
    "thcli.pipeline.receive": ("receive",),
    "thcli.pipeline.reenact": ("reenact",),
    "thcli.pipeline.refine": ("refine",),
    "thcli.pipeline.speak": ("speak",),
    "thcli.pipeline.speak_each": ("speak_each",),
    "thcli.pipeline.transmit": ("transmit",),
    "thcli.pipeline.stages.crop_align": (
        "align",
        "crop",
    ),
    "thcli.pipeline.stages.detect_track": (
        "detect",
        "track",
    ),
    "thcli.pipeline.stages.encode_warp": (
        "encode",
        "warp",
    ),
    "thcli.pipeline.stages.fit": ("fit",),
    "thcli.pipeline.stages.parse": ("parse",),
    "thcli.pipeline.stages.paste": ("paste",),
    "thcli.train.onnx.export": ("export_onnx",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'thcli' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
