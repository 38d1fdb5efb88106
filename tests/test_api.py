"""The public names: removing one needs a change of this list in the same commit."""

from __future__ import annotations

import doctest

import thcli

PUBLIC = [
    "__version__",
    "AudioOptions",
    "ChangeOptions",
    "CompareOptions",
    "Crop",
    "DeviceError",
    "EditOptions",
    "EditorOptions",
    "Event",
    "Face",
    "FaceOptions",
    "Finished",
    "Frame",
    "Identity",
    "Listener",
    "MediaError",
    "MeshOptions",
    "Motion",
    "MotionOptions",
    "NoFaceError",
    "OutputError",
    "OutputOptions",
    "ReadOptions",
    "ReenactOptions",
    "RefineJobOptions",
    "RefineOptions",
    "Report",
    "RunOptions",
    "SpeakOptions",
    "Started",
    "Step",
    "TextOptions",
    "ThcliError",
    "UsageError",
    "Warned",
    "VoiceOptions",
    "WeightsError",
    "compare",
    "edit",
    "reenact",
    "refine",
    "silent",
    "speak",
]


def test_the_public_names() -> None:
    assert sorted(thcli.__all__) == sorted(PUBLIC)
    for name in thcli.__all__:
        assert getattr(thcli, name) is not None


def test_what_the_docstring_shows() -> None:
    assert doctest.testmod(thcli).failed == 0
