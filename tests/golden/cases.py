"""Table of golden files: name -> "module:function"; their numbers in a process of its own.

A function takes the offset and returns every stage of its file.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

CASES = {
    "DIFFUSED_HEADS": "tests.golden.diffused_heads:stages",
    "DVA": "tests.golden.dva:stages",
    "FACEVID2VID": "tests.golden.facevid2vid:stages",
    "FADM": "tests.golden.fadm:stages",
    "FOMM": "tests.golden.fomm:stages",
    "LIVEPORTRAIT": "tests.golden.liveportrait:stages",
    "LIVEPORTRAIT_CV": "tests.golden.liveportrait:cv_stages",
    "MONKEYNET": "tests.golden.monkeynet:stages",
    "REAL3D_A2M": "tests.golden.real3d:stages",
    "REAL3D_VIDEO": "tests.golden.real3d_video:stages",
    "X2FACE": "tests.golden.x2face:stages",
}
# Networks whose files are beside their tests instead of in ../shared.
OWN_CASES = {
    name: f"tests.refiners.restoration.networks:{name}"
    for name in ("codeformer", "gfpgan", "restoreformer")
}
# Stages of uint8 images, which are compared to one level instead of 1e-4.
UINT8_CASES = {"LIVEPORTRAIT_CV"}
REPO = Path(__file__).parents[2]
Numbers = dict[str, npt.NDArray[np.generic]]


def run(name: str, offset: int = 0) -> Numbers:
    """Compute every stage of a golden file with our networks."""
    module, _, function = (CASES | OWN_CASES)[name].partition(":")
    stages: Callable[[int], dict[str, Tensor]] = getattr(import_module(module), function)
    gc.collect()
    gc.freeze()  # large networks are collected often; modules need not be
    try:
        with torch.inference_mode():
            return {key: stage.numpy() for key, stage in stages(offset).items()}
    finally:
        gc.unfreeze()


def compute(folder: Path, *words: str) -> None:
    """Write golden files into a folder, in a process of its own, whose memory ends with it.

    words: their names, and options of the command.
    """
    command = [sys.executable, "-m", "tests.golden", *words, "--out", str(folder)]
    large_pages = {"THP_MEM_ALLOC_ENABLE": "1"}  # torch's: page faults took a fifth of the time
    subprocess.run(command, check=True, cwd=REPO, env=os.environ | large_pages)


def load(path: Path) -> Numbers:
    """Load a golden file."""
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def max_errors(ours: Numbers, reference: Numbers) -> dict[str, float]:
    """Compute max |ours - reference| / max(1, max |reference|) of each stage."""
    out = {}
    for key, wanted in reference.items():
        ref, got = np.asarray(wanted, np.float64), np.asarray(ours[key], np.float64)
        if ref.shape != got.shape:
            raise ValueError(f"{key} has shape {got.shape} instead of {ref.shape}.")
        out[key] = float(np.abs(got - ref).max() / max(1.0, np.abs(ref).max()))
    return out
