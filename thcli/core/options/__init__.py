"""Every option of every command, with its default and its help: the only place where either is written.

Each class checks itself (`UsageError` names the option and what is allowed). The command line's flags, the configuration
file's keys and the `--json` report are these fields; `cli.flags` turns them into flags of the same name.
"""

from thcli.core.options.base import option, require
from thcli.core.options.faces import (
    Blend,
    Border,
    FaceOptions,
    FindOptions,
    PasteOptions,
    SteadyOptions,
    Template,
    TemplateOptions,
)
from thcli.core.options.jobs import (
    AlignOptions,
    CompareOptions,
    CropOptions,
    DetectOptions,
    EncodeOptions,
    Framing,
    PasteJobOptions,
    PasteMask,
    ReenactOptions,
    RenderOptions,
    SpeakOptions,
    TrackOptions,
    WarpOptions,
)
from thcli.core.options.measure import BenchOptions, EvaluateOptions
from thcli.core.options.media import OutputOptions, ReadOptions
from thcli.core.options.motion import (
    LivePortraitOptions,
    Matte,
    MeshOptions,
    MotionMode,
    MotionOptions,
    Mouth,
    Region,
    ViewOptions,
)
from thcli.core.options.run import Licence, Precision, RunOptions, ShowOptions
from thcli.core.options.speech import AudioOptions, VoiceOptions
from thcli.core.options.train import (
    FaceVid2VidTrainOptions,
    FommTrainOptions,
    IdentityTrainOptions,
    ParseTrainOptions,
    Perceptual,
    PrepareOptions,
    SpadeChoice,
    TeacherInput,
    TrainOptions,
    X2FaceTrainOptions,
)

__all__ = [
    "AlignOptions",
    "AudioOptions",
    "BenchOptions",
    "Blend",
    "Border",
    "CompareOptions",
    "CropOptions",
    "DetectOptions",
    "EncodeOptions",
    "EvaluateOptions",
    "FaceOptions",
    "FaceVid2VidTrainOptions",
    "FindOptions",
    "FommTrainOptions",
    "Framing",
    "IdentityTrainOptions",
    "Licence",
    "LivePortraitOptions",
    "Matte",
    "MeshOptions",
    "MotionMode",
    "MotionOptions",
    "Mouth",
    "OutputOptions",
    "ParseTrainOptions",
    "PasteJobOptions",
    "PasteMask",
    "PasteOptions",
    "Perceptual",
    "Precision",
    "PrepareOptions",
    "ReadOptions",
    "ReenactOptions",
    "Region",
    "RenderOptions",
    "RunOptions",
    "ShowOptions",
    "SpadeChoice",
    "SpeakOptions",
    "SteadyOptions",
    "TeacherInput",
    "Template",
    "TemplateOptions",
    "TrackOptions",
    "TrainOptions",
    "ViewOptions",
    "VoiceOptions",
    "WarpOptions",
    "X2FaceTrainOptions",
    "option",
    "require",
]
