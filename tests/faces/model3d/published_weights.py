"""Weights in the published layouts, filled by name, and a real face."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.golden import fill
from thcli import weights
from thcli.core.geometry import bounding_box
from thcli.core.types import Face, Image
from thcli.evaluate.datasets.sample_clip import portrait
from thcli.motion.canonical import neutral

IMAGE: Image = portrait(256)
MESH = 62 * neutral() + [128.0, 92.0, 0.0]


def face(x: float = 0.0, y: float = 0.0) -> Face:
    """Return a face at about the position of the face of IMAGE."""
    mesh = (MESH + np.array([x, y, 0.0])).astype(np.float32)
    return Face(bounding_box(mesh), 1.0, mesh=mesh)


def batch_norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    rows = {
        f"{name}.{leaf}": (width,) for leaf in ("weight", "bias", "running_mean", "running_var")
    }
    return {**rows, f"{name}.num_batches_tracked": ()}


def mobilenet(width: float) -> dict[str, tuple[int, ...]]:
    """Return the shapes of 3DDFA_V2's file without its prefix.

    The network, the head of coefficients, and an unused head of landmarks.
    """
    inner = int(32 * width)
    keys: dict[str, tuple[int, ...]] = {
        "conv1.weight": (inner, 3, 3, 3),
        **batch_norm("bn1", inner),
    }
    blocks = {"2_1": 64, "2_2": 128, "3_1": 128, "3_2": 256, "4_1": 256, "4_2": 512}
    blocks |= {f"5_{i}": 512 for i in range(1, 6)} | {"5_6": 1024, "6": 1024}
    for name, full in blocks.items():
        outer = int(full * width)
        keys |= {
            f"dw{name}.conv_dw.weight": (inner, 1, 3, 3),
            **batch_norm(f"dw{name}.bn_dw", inner),
        }
        keys |= {
            f"dw{name}.conv_sep.weight": (outer, inner, 1, 1),
            **batch_norm(f"dw{name}.bn_sep", outer),
        }
        inner = outer
    heads = {"fc_param": 62, "fc_lm": 136}
    return (
        keys
        | {f"{n}.weight": (w, inner) for n, w in heads.items()}
        | {f"{n}.bias": (w,) for n, w in heads.items()}
    )


def resnet50(prefix: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of torchvision's ResNet-50 without its classifier."""
    keys: dict[str, tuple[int, ...]] = {
        f"{prefix}conv1.weight": (64, 3, 7, 7),
        **batch_norm(f"{prefix}bn1", 64),
    }
    wide = 64
    for layer, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 1):
        for block in range(blocks):
            name = f"{prefix}layer{layer}.{block}"
            keys[f"{name}.conv1.weight"] = (width, wide, 1, 1)
            keys[f"{name}.conv2.weight"] = (width, width, 3, 3)
            keys[f"{name}.conv3.weight"] = (4 * width, width, 1, 1)
            for i, n in enumerate((width, width, 4 * width), 1):
                keys |= batch_norm(f"{name}.bn{i}", n)
            if not block:
                keys[f"{name}.downsample.0.weight"] = (4 * width, wide, 1, 1)
                keys |= batch_norm(f"{name}.downsample.1", 4 * width)
            wide = 4 * width
    return keys


def recon() -> dict[str, tuple[int, ...]]:
    """Return the shapes of Deep3DFaceRecon's net_recon."""
    keys = resnet50("backbone.")
    for i, width in enumerate((80, 64, 80, 3, 27, 2, 1)):
        keys |= {
            f"final_layers.{i}.weight": (width, 2048, 1, 1),
            f"final_layers.{i}.bias": (width,),
        }
    return keys


def e_flame() -> dict[str, tuple[int, ...]]:
    """Return the shapes of DECA's E_flame."""
    layers = {
        "layers.0.weight": (1024, 2048),
        "layers.0.bias": (1024,),
        "layers.2.weight": (236, 1024),
        "layers.2.bias": (236,),
    }
    return resnet50("encoder.") | layers


def filled(
    keys: dict[str, tuple[int, ...]], prefix: str = "", gain: float = 1.0
) -> dict[str, Tensor]:
    """Fill tensors from their names alone (golden/fill.py); batch counters are 0."""
    return {
        key: torch.tensor(0)
        if key.endswith("num_batches_tracked")
        else fill.value(prefix + key, shape, gain=gain)
        for key, shape in keys.items()
    }


def flame_tensors() -> dict[str, Tensor]:
    """Return DECA's E_flame, filled as for the golden file."""
    return filled(e_flame(), "E_flame.")


def _tddfa(width: float) -> dict[str, Any]:
    return {
        "epoch": 1,
        "state_dict": {f"module.{k}": v for k, v in filled(mobilenet(width), gain=1.5).items()},
        "arch": "mobilenet",
    }


def _deep3d() -> dict[str, Any]:
    moments = {
        "state": {0: {"step": 3, "exp_avg": torch.zeros(3)}},
        "param_groups": [{"lr": 1e-4, "params": [0]}],
    }
    return {"net_recon": filled(recon()), "opt_00": moments, "sched_00": {"last_epoch": 20}}


def _deca() -> dict[str, Any]:
    return {
        "E_flame": flame_tensors(),
        "E_detail": {"x": torch.zeros(2)},
        "D_detail": {"y": torch.zeros(2)},
    }


@dataclass(frozen=True)
class Published:
    """A published backend.

    files: content of each of its weights files.  identity, expression: widths of its coefficients.
    own: widths of its own columns.
    """

    name: str
    files: dict[str, Callable[[], Any]]
    identity: int
    expression: int
    own: dict[str, int]


MEAN_STD = {
    "mean": np.linspace(-1, 1, 62).astype(np.float32),
    "std": np.linspace(0.5, 2, 62).astype(np.float32),
}
_SHARES = {"id": 80, "exp": 64, "tex": 80, "angle": 3, "gamma": 27, "trans": 3}
_FLAME = {"shape": 100, "tex": 50, "exp": 50, "pose": 6, "cam": 3, "light": 27}
PUBLISHED = (
    Published(
        "tddfa",
        {"tddfa-mb1": lambda: _tddfa(1.0), "tddfa-mean-std": lambda: MEAN_STD},
        40,
        10,
        {"param": 62},
    ),
    Published(
        "tddfa-mb05",
        {"tddfa-mb05": lambda: _tddfa(0.5), "tddfa-mean-std": lambda: MEAN_STD},
        40,
        10,
        {"param": 62},
    ),
    Published("deep3d", {"deep3d": _deep3d}, 80, 64, _SHARES),
    Published("deca", {"deca": _deca}, 100, 50, _FLAME),
)


def install(model: Published, room: Path) -> None:
    """Import files in the published form as a user does."""
    for name, content in model.files.items():
        path = room / weights.registry()[name].file
        if path.suffix == ".pkl":
            path.write_bytes(pickle.dumps(content(), protocol=3))
        else:
            torch.save(content(), path)
        weights.import_file(name, path, trust=True)
