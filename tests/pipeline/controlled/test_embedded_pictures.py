"""`--also` with an engine that embeds several pictures of one person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.engines.narrow import trained
from tests.pipeline.command_line import to_argv
from tests.pipeline.conftest import Clip
from thcli.cli.app import run
from thcli.engines.x2face import engine as x2face
from thcli.engines.x2face.engine import X2FaceEngine
from thcli.engines.x2face.networks import X2Face


@pytest.mark.parametrize("framing", ["full", "crop"])
def test_crops_of_all_pictures_are_embedded(
    framing: str, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[tuple[int, ...]]] = []
    original = X2FaceEngine.encode_sources

    def record(self: X2FaceEngine, images: Any, faces: Any) -> Any:
        seen.append([image.shape for image in images])
        return original(self, images, faces)

    monkeypatch.setattr(X2FaceEngine, "encode_sources", record)
    monkeypatch.setattr(x2face, "load_tensors", lambda *names, **options: {})
    monkeypatch.setattr(x2face, "build_model", lambda *given: trained(X2Face(width_divisor=16)))
    source = clip("two.mp4", 2)
    argv = to_argv("reenact", source, source, "-o", tmp_path / "out.mp4", "-q", "--also", source)
    assert run([*argv, "--engine", "x2face", "--framing", framing]) == 0
    assert seen == [[(256, 256, 3)] * 2]
