"""Real3D-Portrait with narrow random networks and a made 3-D face model, as a backend."""

from __future__ import annotations

from functools import cache

import torch

from tests.faces.model3d.bfm.made_model import made_model
from tests.golden import fill
from tests.voices import test_real3d
from thcli.core.options import RenderOptions, RunOptions
from thcli.core.protocols import Parser
from thcli.engines.real3d.config import Real3DConfig
from thcli.engines.real3d.driving.head_model import HeadModel
from thcli.engines.real3d.engine import Real3dEngine, Real3dParts
from thcli.engines.real3d.model import Real3D, empty_model
from thcli.faces.backends import PARSERS
from thcli.faces.compositing import person_matte
from thcli.faces.compositing.person_matte import PersonMatte
from thcli.voices.real3d.networks import AudioToMotion
from thcli.voices.real3d.voice import Real3dVoice

# The smallest image that the torso network's five halvings take.
CONFIG = Real3DConfig(image_size=256, width_divisor=16, coarse_samples=6, fine_samples=6)


def networks() -> Real3D:
    """Return the networks, always with the same random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = empty_model(CONFIG)
    return model.eval().requires_grad_(False)


@cache
def head_model() -> HeadModel:
    return HeadModel(made_model())


@cache
def segmenters() -> tuple[Parser, PersonMatte]:
    """Load face parser and person matte, once for all engines."""
    run = RunOptions(device="cpu", threads=1)
    return PARSERS.backend("parse-s").load(run), person_matte.load(run)


def load(run: RunOptions, options: RenderOptions | None = None) -> Real3dEngine:
    """Create the engine as `engines.real3d.engine.load` does, without weights."""
    parts = Real3dParts(networks(), head_model(), *segmenters())
    return Real3dEngine(parts, run, options)


def load_voice(run: RunOptions) -> Real3dVoice:
    """Create the voice real3d with random weights."""
    network = AudioToMotion()
    filled = fill.network(network, fill.state(network.state_dict(), 0))
    return Real3dVoice(filled, test_real3d.FakeHubert(), run)
