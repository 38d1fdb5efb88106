"""Declarations of backends against their code: what a backend declares, it reads.

Networks are narrow and random; the options record which of their fields are read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.editors.dva import test_small as small_editor
from tests.editors.dva.test_text_edit import FRAME, ColourTextModel, FlatColourEditor
from tests.engines import narrow as engines
from tests.engines.mesh.synthetic_faces import astronaut
from tests.engines.real3d import tiny
from tests.golden import fill
from tests.motion import synthetic_motion
from tests.pipeline.unread.recorder import recorded
from tests.refiners import test_contract as refiners
from tests.voices import test_a2m, test_real3d
from tests.voices.diffused_heads import test_small as small_voice
from thcli.core.events import silent
from thcli.core.options import (
    EditOptions,
    ReenactOptions,
    RefineOptions,
    SpeakOptions,
    TextOptions,
    ViewOptions,
    walk_options,
)
from thcli.core.protocols import EmbeddingEngine, RenderingVoice, VideoSourceEngine
from thcli.editors.backends import EDITORS, PAINTERS, TEXT_MODELS
from thcli.editors.dva.network import NoiseEstimator
from thcli.editors.dva.text_edit import learn_step
from thcli.editors.shared.trajectory import SteerableEditor
from thcli.engines.backends import ENGINES
from thcli.engines.facevid2vid.engine import FaceVid2VidNetworks
from thcli.engines.liveportrait.engine import LivePortraitEngine
from thcli.engines.liveportrait.networks import LivePortraitNetworks
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.motion.control.controls import Controls
from thcli.motion.file.buffer import MotionBuffer
from thcli.pipeline.editing.identity_edits import load_text_step
from thcli.pipeline.editing.other_faces import recombine
from thcli.pipeline.editing.request import EditRequest
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.option_table import CHOICES
from thcli.refiners.backends import REFINERS
from thcli.voices.a2m.voice import AudioToMotionVoice
from thcli.voices.backends import ENGINE, VOICES
from thcli.voices.diffused_heads.network import DiffusedHeads
from thcli.voices.diffused_heads.published import PublishedVoice
from thcli.voices.diffused_heads.voice import SmallVoice
from thcli.voices.real3d.networks import AudioToMotion
from thcli.voices.x2face.embedding import EMBEDDING
from thcli.voices.x2face.voice import X2FaceVoice
from thcli.weights.backend import Stage

RUN = engines.RUN
# Read by the engines that cannot part pose from expression, to refuse them.
REFUSED_PARTS = {"motion.region", "motion.pose", "motion.expression"}


def of_stage(stage: Stage) -> set[str]:
    """Return every option of a command that a backend of the stage declares."""
    return {option for name in stage.rows for option in declared_by(stage, name)}


def declared_by(stage: Stage, name: str) -> set[str]:
    """Return every option of a command that one backend declares."""
    (options,) = (options for _, options, stages in CHOICES if stage in stages)
    return {path for path, *_ in walk_options(options) if stage.rows[name].reads_option(path)}


def narrow(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the weights of an engine by narrow random networks; its factory stays."""
    module = import_module(ENGINES.rows[name].factory.partition(":")[0])
    monkeypatch.setattr(module, "load_tensors", lambda *names, **options: {})
    family = name.partition("-")[0]
    if family == "facevid2vid":
        made = engines.make_facevid2vid(RUN)
        parts = FaceVid2VidNetworks(made.detector, made.estimator, made.generator)
        monkeypatch.setattr(module, "assemble", lambda *parts_and_name: parts)
        return
    if family == "liveportrait":
        networks = LivePortraitNetworks
        parts_of_it = map(engines.trained, networks.new(width_divisor=32))
        monkeypatch.setattr(module, "assemble", lambda parts: networks._make(parts_of_it))
        return
    if family in ("fomm", "monkeynet"):
        kinds = module.KeypointDetector, module.Generator
        made_parts = tuple(engines.trained(k(width_divisor=engines.NARROW)) for k in kinds)
        monkeypatch.setattr(module, "load_keypoint_networks", lambda *kinds_and_state: made_parts)
        return
    monkeypatch.setattr(module, "X2Face", partial(module.X2Face, width_divisor=engines.NARROW))
    monkeypatch.setattr(module, "load_state", lambda network, *of: engines.trained(network))


@pytest.mark.parametrize("name", sorted(set(ENGINES.rows) - {"mesh", "real3d"}))
def test_an_engine_of_networks_reads_what_it_declares(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow(name, monkeypatch)
    seen: set[str] = set()
    options = recorded(ReenactOptions(), seen)
    engine = ENGINES.backend(name).load(RUN, options)
    source = engine.encode_source(engines.image(1), engines.FACE)
    driving = MotionBuffer(engines.observe(engine, engines.clip(2)))
    engine.retarget(source, driving, options.motion).window(0, 2)
    if isinstance(engine, EmbeddingEngine):
        assert options.also is None  # `reenact` reads the pictures for it
    if isinstance(engine, VideoSourceEngine):
        engine.transfer_motion(driving, driving, options.motion).window(0, 2)
    read, declared = seen & of_stage(ENGINES), declared_by(ENGINES, name)
    assert declared <= read
    assert read - declared <= REFUSED_PARTS
    assert isinstance(engine, LivePortraitEngine) is ("liveportrait.stitching" in declared)


def test_the_mesh_engine_reads_what_it_declares() -> None:
    seen: set[str] = set()
    options = recorded(ReenactOptions(), seen)
    engine = ENGINES.backend("mesh").load(RUN, options)
    controls = Controls.read(options.view, options.expression)
    assert options.also is None and not controls.angles(np.zeros(1), 1.0, {}).any()
    store = MotionBuffer(synthetic_motion.driver(8))
    engine.retarget(astronaut(), store, options.motion).window(0, 8)
    assert seen & of_stage(ENGINES) == declared_by(ENGINES, "mesh")


def test_real3d_reads_what_it_declares(tmp_path: Path) -> None:
    poses = tmp_path / "poses.csv"
    poses.write_text("seconds,pitch,yaw,roll\n0,0,0,0\n", "utf-8")
    seen: set[str] = set()
    chosen = ReenactOptions(view=ViewOptions(pose_file=poses))
    options = recorded(chosen, seen)
    engine = tiny.load(RUN, options)
    image, finding = photograph(), ReenactOptions()
    face = FaceFinder.load(finding.faces, RUN, finding.read).find(image)[0]
    source = engine.encode_source(image, face)
    store = MotionBuffer(synthetic_motion.driver(2))
    window = engine.retarget(source, store, options.motion).window(0, 1)
    engine.render(source, window, None)
    assert seen & of_stage(ENGINES) == declared_by(ENGINES, "real3d")


def a2m() -> Any:
    return AudioToMotionVoice(test_a2m.network(), RUN)


def real3d() -> Any:
    network = AudioToMotion()
    state = fill.state(network.state_dict(), 0)
    return test_real3d.voice(fill.network(network, state))


def dh_s() -> Any:
    tiny = DiffusedHeads(small_voice.TINY)
    return SmallVoice(tiny, a2m(), RUN, steps=2)


class SilentEncoder:
    """Stand-in for the speech encoder of Diffused Heads: rows of zeros."""

    def encode_speech(self, speech: Any) -> Any:
        yield np.zeros((25, small_voice.TINY.audio_width), np.float32)


def diffused_heads() -> Any:
    encoder: Any = SilentEncoder()
    return PublishedVoice(DiffusedHeads(small_voice.TINY), encoder, RUN, steps=10)


def x2face() -> Any:
    return X2FaceVoice(np.ones((8, EMBEDDING), np.float32), RUN)


MADE_VOICES: dict[str, Callable[[], Any]] = {
    "a2m": a2m,
    "a2m-free": a2m,
    "dh-s": dh_s,
    "diffused-heads": diffused_heads,
    "diffused-heads-lrw": diffused_heads,
    "real3d": real3d,
    "x2face": x2face,
}


@pytest.mark.parametrize("name", sorted(VOICES.rows))
def test_a_voice_reads_what_it_declares(name: str) -> None:
    voice, seen = MADE_VOICES[name](), set[str]()
    options = recorded(SpeakOptions(), seen)
    sound, stamps = test_a2m.Sound(test_a2m.syllables(1.0, (0.2, 0.8))), test_a2m.frames(0.08)
    if isinstance(voice, RenderingVoice):
        portrait = np.zeros((voice.crop_size, voice.crop_size, 3), np.uint8)
        list(voice.render_frames(portrait, sound, *stamps, options.speech))
    else:
        list(voice.speak(sound, *stamps, options.speech))
    if not isinstance(voice, RenderingVoice):
        seen.add(ENGINE)  # `speak` renders its motion with an engine
    assert seen & of_stage(VOICES) == declared_by(VOICES, name)


@pytest.mark.parametrize("name", sorted(refiners.ROWS))
def test_a_refiner_reads_what_it_declares(name: str) -> None:
    refiner, seen = refiners.ROWS[name](), set[str]()
    options = recorded(RefineOptions(steps=2), seen, "refine.")
    source = refiner.encode_source(refiners.crops(1)[0], refiners.faces(1)[0])
    driving = refiner.extract_attributes(refiners.crops(1), refiners.faces(1))
    refiner.refine(refiners.crops(1), source, driving, [0], options)
    assert seen == declared_by(REFINERS, name)


def load_colour_model(run: Any) -> ColourTextModel:
    return ColourTextModel()


@pytest.mark.parametrize("name", sorted(EDITORS.rows))
def test_an_editor_reads_what_it_declares(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module(EDITORS.rows[name].factory.partition(":")[0])
    monkeypatch.setattr(module, "load_tensors", lambda *names, **options: {})
    if name == "dva":
        shape = import_module("tests.editors.dva.test_editor").TINY
        encoder = torch.nn.Module()  # a stand-in
        encoder.linear = torch.nn.Linear(2, 2)
        networks = NoiseEstimator(shape), encoder
        monkeypatch.setattr(module, "assemble", lambda *tensors: networks)
    else:
        monkeypatch.setattr(module, "SHAPE", small_editor.TINY)
        monkeypatch.setattr(module, "load_state", lambda network, *of: network.eval())
        monkeypatch.setattr(module, "load_identity", lambda run: small_editor.MeanColourEncoder())
    fake = replace(TEXT_MODELS.rows["clip-s"], factory=f"{__name__}:load_colour_model", weights=())
    monkeypatch.setitem(TEXT_MODELS.rows, "clip-s", fake)
    seen: set[str] = set()
    options = recorded(EditOptions(text="green", run=RUN), seen)
    request = EditRequest({}, {name: {}}, text="green", neutral="nothing")
    step = load_text_step(name, request, options, lambda event: None)
    assert isinstance(step.editor, SteerableEditor)
    assert recombine([[step]], options, Job("edit", silent)) == [[step]]
    words = recorded(TextOptions(iterations=2), seen, "words.")
    flat: Any = FlatColourEditor()
    learn_step(flat, FRAME, "nothing", "green", ColourTextModel(), words)
    assert seen & of_stage(EDITORS) == declared_by(EDITORS, name)


def test_painters_declare_nothing() -> None:
    """Their factory gets RunOptions alone, and `paint` no options."""
    assert not of_stage(PAINTERS)


def test_each_declaration_names_an_option() -> None:
    for _, options, stages in CHOICES:
        paths = [path for path, *_ in walk_options(options)]
        for row in (row for stage in stages for row in stage.rows.values()):
            for one in row.reads:
                assert any(path == one or path.startswith(f"{one}.") for path in paths), one
