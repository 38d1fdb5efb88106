"""Protocols between the pipeline's stages and their implementations.

Detectors, landmarkers, encoders, engines, refiners, editors and voices implement them. Unless a
method says otherwise, images are (H, W, 3) uint8 RGB, points are in pixels of their image, calls
are stateless, and results do not depend on how items are batched.
"""

from thcli.core.protocols.editing import Editor, Painter, Refiner
from thcli.core.protocols.engines import (
    CropEngine,
    CropView,
    EmbeddingEngine,
    EncodedGroup,
    Engine,
    GroupEngine,
    MeshPlacingEngine,
    MotionStore,
    PicturesEngine,
    PortableEngine,
    PortableRenderer,
    Source,
    VideoSourceEngine,
    VoiceDrivenEngine,
    WarningEngine,
)
from thcli.core.protocols.faces import (
    CropNetwork,
    Detector,
    FaceModel,
    FastDetector,
    IdentityEncoder,
    Landmarker,
    Parser,
)
from thcli.core.protocols.voices import MeshConvertibleVoice, RenderingVoice, Speech, Voice

__all__ = [
    "CropEngine",
    "CropNetwork",
    "CropView",
    "Detector",
    "Editor",
    "EmbeddingEngine",
    "EncodedGroup",
    "Engine",
    "FaceModel",
    "FastDetector",
    "GroupEngine",
    "IdentityEncoder",
    "Landmarker",
    "MeshConvertibleVoice",
    "MeshPlacingEngine",
    "MotionStore",
    "Painter",
    "Parser",
    "PicturesEngine",
    "PortableEngine",
    "PortableRenderer",
    "Refiner",
    "RenderingVoice",
    "Source",
    "Speech",
    "VideoSourceEngine",
    "Voice",
    "VoiceDrivenEngine",
    "WarningEngine",
]
