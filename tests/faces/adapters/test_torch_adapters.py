"""Adapters of face-alignment and facexlib: strict loading of official layouts, and geometry."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions
from thcli.core.types import Face, Image
from thcli.faces.adapters import face_alignment_torch as fa
from thcli.faces.adapters import facexlib_torch as fx
from thcli.weights import load_tensors

CPU = torch.device("cpu")
RUN = RunOptions(device="cpu")
BOX = np.array([100, 60, 200, 180], np.float32)


def random_state(network: torch.nn.Module, prefix: str = "") -> dict[str, torch.Tensor]:
    """Return small random values in the network's layout; running variances are positive."""
    torch.manual_seed(0)
    state = {}
    for name, value in network.state_dict().items():
        if value.dtype.is_floating_point:
            value = torch.randn_like(value) * 0.02
            value = value.abs() + 1 if name.endswith("running_var") else value
        state[prefix + name] = value
    return state


def astronaut() -> Image:
    import skimage.data

    return np.asarray(skimage.data.astronaut()[:320, :320])  # type: ignore[no-untyped-call]


def networks() -> list[tuple[str, Callable[[], torch.nn.Module], Any, str]]:
    import warnings

    from face_alignment.detection.sfd.net_s3fd import s3fd
    from face_alignment.models.fan import FAN
    from facexlib.alignment.awing_arch import FAN as AWingFan
    from facexlib.detection.retinaface import RetinaFace

    def retinaface(backbone: str) -> torch.nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an argument that facexlib passes
            network: torch.nn.Module = RetinaFace(backbone, device="cpu")
        return network

    return [
        ("s3fd-619a316812.pth", s3fd, fa.S3fd.from_tensors, ""),
        ("2DFAN4-11f355bf06.pth.tar", lambda: FAN(4), fa.Fan.from_tensors, ""),
        (
            "detection_Resnet50_Final.pth",
            lambda: retinaface("resnet50"),
            fx.RetinaFace.from_tensors,
            "module.",
        ),
        (
            "detection_mobilenet0.25_Final.pth",
            lambda: retinaface("mobile0.25"),
            lambda tensors, run: fx.RetinaFace.from_tensors(tensors, run, "mobile0.25"),
            "module.",
        ),
        (
            "alignment_WFLW_4HG.pth",
            lambda: AWingFan(num_modules=4, num_landmarks=98, device="cpu"),
            fx.AWing.from_tensors,
            "",
        ),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("row", networks(), ids=lambda row: row[0])
def test_the_official_layout_loads_strictly_and_runs(
    row: tuple[str, Any, Any, str], tmp_path: Path
) -> None:
    name, make, adapter, prefix = row
    state = random_state(make(), prefix)
    nested = name.startswith("alignment")  # AWing's file keeps its state under that key
    torch.save({"state_dict": state} if nested else state, tmp_path / name)
    tensors = load_tensors(tmp_path / name, prefix="state_dict." if nested else "")
    backend = adapter(tensors, RUN)
    image = astronaut()
    if hasattr(backend, "detect"):
        small = image[::2, ::2]
        assert all(
            np.isfinite(face.box).all() for face in backend.detect(np.ascontiguousarray(small))
        )
    else:
        face = backend.fit(image, Face(BOX, 0.9))
        assert face is None or np.isfinite(face.points).all()
    missing = dict(tensors)
    missing.pop(next(k for k in missing if k.endswith("weight")))
    with pytest.raises(WeightsError, match="1 missing"):
        adapter(missing, RUN)


class RedDot(torch.nn.Module):
    """Fake network: every heat map is the red channel, so all points are on its one dot."""

    def __init__(self, maps: int, nested: bool) -> None:
        super().__init__()
        self.maps, self.nested = maps, nested

    def forward(self, x: torch.Tensor) -> Any:
        heat = F.avg_pool2d(x[:, :1], 4).repeat(1, self.maps, 1, 1)
        return ([heat], []) if self.nested else [heat]


@pytest.mark.parametrize("kind", ["fan", "awing"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_heatmaps_map_back_to_the_image(kind: str, depth: type) -> None:
    image: Any = np.zeros((300, 400, 3), depth)
    centre = np.array([141.0, 97.0])
    y, x = np.mgrid[:300, :400]
    spot = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * 4.0**2))
    image[..., 0] = (spot * np.iinfo(depth).max).astype(depth)
    backend = fa.Fan(RedDot(68, False), CPU) if kind == "fan" else fx.AWing(RedDot(99, True), CPU)
    face = backend.fit(image, Face(BOX, 0.9))
    assert face is not None and face.points is not None and face.keypoints is not None
    assert face.points.shape == ((68, 2) if kind == "fan" else (98, 2))
    cell = 1.3 * 120 / 64
    assert np.abs(face.points - centre).max() < 0.5 * cell
    assert backend.fit(np.zeros_like(image), Face(BOX, 0.9)) is None
    assert backend.fit(image, Face(np.zeros(4, np.float32), 0.9)) is None


class OneBox(torch.nn.Module):
    """Fake RetinaFace: certain of the two priors of one stride-8 cell, without offsets.

    The priors are 16 and 32 pixels wide.
    """

    cfg = {
        "min_sizes": [[16, 32], [64, 128], [256, 512]],
        "steps": [8, 16, 32],
        "variance": [0.1, 0.2],
        "clip": False,
    }

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        height, width = x.shape[2:]
        cells = [(-(-height // s), -(-width // s)) for s in (8, 16, 32)]
        count = sum(2 * h * w for h, w in cells)
        scores = torch.tensor([1.0, 0.0]).repeat(count, 1)
        row = 2 * (10 * cells[0][1] + 20)
        scores[row] = torch.tensor([0.1, 0.9])
        scores[row + 1] = torch.tensor([0.05, 0.95])
        return torch.zeros(1, count, 4), scores[None], torch.zeros(1, count, 10)


def test_retinaface_decodes_priors_and_suppresses() -> None:
    faces = fx.RetinaFace(OneBox(), CPU).detect(np.zeros((240, 320, 3), np.uint8))
    # Cell (20, 10): centre at 164, 84 from the corner, so pixel 163.5, 83.5. The IoU of 16 in 32
    # is 0.25: both stay.
    assert [round(face.score, 2) for face in faces] == [0.95, 0.9]
    np.testing.assert_allclose(faces[0].box, [147.5, 67.5, 179.5, 99.5], atol=1e-3)
    assert faces[0].points is not None
    np.testing.assert_allclose(faces[0].points, np.tile([163.5, 83.5], (5, 1)), atol=1e-3)


def test_retinaface_reduces_a_large_image() -> None:
    faces = fx.RetinaFace(OneBox(), CPU).detect(np.zeros((1440, 1920, 3), np.uint16))
    np.testing.assert_allclose(faces[0].box, [295.5, 135.5, 359.5, 199.5], atol=1e-2)


class FaceAtCell(torch.nn.Module):
    """Fake S3FD: one certain cell at stride 8."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        out = []
        for stride in (4, 8, 16, 32, 64, 128):
            h, w = max(x.shape[2] // stride, 1), max(x.shape[3] // stride, 1)
            score = torch.stack([torch.full((h, w), 9.0), torch.full((h, w), -9.0)])[None]
            if stride == 8:
                score[0, :, 6, 5] = torch.tensor([-2.0, 2.0])
            out += [score, torch.zeros(1, 4, h, w)]
        return out


def test_s3fd_decodes_a_cell() -> None:
    (face,) = fa.S3fd(FaceAtCell(), CPU).detect(np.zeros((160, 160, 3), np.uint8))
    np.testing.assert_allclose(face.box, [44 - 16, 52 - 16, 44 + 16, 52 + 16], atol=1e-3)
    assert face.score == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-4)


def test_facexlib_imports_in_a_fresh_process_without_a_warning() -> None:
    code = "import thcli.faces.adapters.facexlib_torch as m; print(m.Network.__name__)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "RetinaFace"


def test_a_healthy_torchvision_is_left_alone() -> None:
    """With a stub torchvision that imports, nothing is declared."""
    code = (
        "import sys, types; sys.modules['torchvision'] = types.ModuleType('torchvision');"
        "from thcli.faces.adapters import torchvision_ops as ops;"
        "print(ops.make_torchvision_importable())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "None", done.stderr


def test_a_torchvision_that_fails_otherwise_is_a_device_error(tmp_path: Path) -> None:
    (tmp_path / "torchvision.py").write_text(
        "raise RuntimeError('compiled with different CUDA major versions')"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r});"
        "from thcli.core.errors import DeviceError\n"
        "from thcli.faces.adapters.torchvision_ops import make_torchvision_importable\n"
        "try: make_torchvision_importable()\nexcept DeviceError as exc: print(exc.message)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "different CUDA" in done.stdout, done.stderr
