"""Layouts of imported weights: published ones are accepted, those of other networks refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.golden.fill import Unfilled
from thcli import weights
from thcli.cli.layouts import MODULES, layout_checks
from thcli.core.errors import WeightsError
from thcli.faces.adapters.torchvision_ops import make_torchvision_importable
from thcli.pipeline.backends import STAGES
from thcli.weights.layout import Checkpoint, read_checkpoint, require_layout

State = dict[str, Tensor]

# Row -> parts: (file of published keys, its part, prefix in the checkpoint).
PUBLISHED: dict[str, list[tuple[str, str, str]]] = {
    "fomm-vox": [
        ("FOMM", "kp_detector", "kp_detector."),
        ("FOMM", "generator", "generator."),
        ("FOMM", "discriminator", "discriminator."),
    ],
    "monkeynet": [
        ("MONKEYNET", "kp_detector", "kp_detector."),
        ("MONKEYNET", "generator", "generator."),
    ],
    "facevid2vid": [
        ("FACEVID2VID", "kp_detector", "kp_detector."),
        ("FACEVID2VID", "he_estimator", "he_estimator."),
        ("FACEVID2VID", "generator_spade", "generator."),
    ],
    "liveportrait-appearance": [("LIVEPORTRAIT", "appearance_feature_extractor", "")],
    "liveportrait-motion": [("LIVEPORTRAIT", "motion_extractor", "")],
    "liveportrait-warping": [("LIVEPORTRAIT", "warping_module", "")],
    "liveportrait-spade": [("LIVEPORTRAIT", "spade_generator", "")],
    "liveportrait-stitching": [
        ("LIVEPORTRAIT", "stitching", "retarget_shoulder."),
        ("LIVEPORTRAIT", "lip", "retarget_mouth."),
        ("LIVEPORTRAIT", "eye", "retarget_eye."),
    ],
    "fadm-diffusion": [("FADM", part, "") for part in ("schedule", "unet", "agcn")],
    "deca": [("FADM", "deca.E_flame", "E_flame.")],
    "dva": [
        ("DVA", part, "state_dict.ema_model.")
        for part in ("unet", "encoder.idnet", "encoder.lndnet", "encoder.bgnet", "encoder.linear")
    ],
    "diffused-heads-lrw": [("DIFFUSED_HEADS", "unet", "state_dict.unet.")],
}


def checkpoint(name: str, state: State) -> Checkpoint:
    """Return a checkpoint of one file for a row."""
    return Checkpoint(weights.registry()[name], {}, {"": state})


TFLITE = ("blazeface-short", "blazeface-full", "facemesh-attention", "selfie", "palm", "hand")


def real3d_video(shared: Path, folder: Path, drop: str = "") -> Checkpoint:
    """Return the two files of the row real3d-video, less one tensor."""
    table = json.loads((shared / "specs" / "REAL3D_VIDEO.keys.json").read_text())
    part: dict[str, tuple[list[int], str]] = table["secc2plane_torso_orig"]
    state = {
        f"state_dict.model.{key}": torch.empty(shape, device="meta")
        for key, (shape, _) in part.items()
        if key != drop
    }
    config = folder / "config.yaml"
    config.write_text("triplane_feature_type: triplane\ntorso_inp_mode: rgb_alpha\n", "utf-8")
    name = "secc2plane_torso_orig/"
    return Checkpoint(
        weights.registry()["real3d-video"],
        {f"{name}config.yaml": config},
        {f"{name}model_ckpt_steps_100000.ckpt": state},
    )


def test_the_published_video_model_of_real3d_fits(shared: Path, tmp_path: Path) -> None:
    check(real3d_video(shared, tmp_path))
    with pytest.raises(WeightsError, match=r"missing .*decoder.net.0.bias"):
        check(real3d_video(shared, tmp_path, drop="decoder.net.0.bias"))


def check(one: Checkpoint) -> None:
    require_layout(one, layout_checks(), weights.registry())


def refuse(one: Checkpoint) -> None:
    """Expect a refusal by the row itself, without the search for a row that fits."""
    with pytest.raises(WeightsError):
        layout_checks()[one.name](one)


def published_state(shared: Path, name: str) -> State:
    """Return the published keys and shapes of a row, on the meta device."""
    state: State = {}
    for model, part, prefix in PUBLISHED[name]:
        table = json.loads((shared / "specs" / f"{model}.keys.json").read_text())[part]
        for key, (shape, _) in table.items():
            state[prefix + key] = torch.empty(shape, device="meta")
    return state


def fomm_state() -> State:
    """Return the state of our networks of the first-order model, on the meta device."""
    from thcli.engines.fomm.networks import Generator, KeypointDetector

    with torch.device("meta"):
        parts = {"kp_detector": KeypointDetector(), "generator": Generator()}
    return {
        f"{part}.{key}": value
        for part, network in parts.items()
        for key, value in network.state_dict().items()
    }


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_layouts_are_accepted(name: str, shared: Path) -> None:
    check(checkpoint(name, published_state(shared, name)))


def test_another_networks_checkpoint_is_refused_and_recognised() -> None:
    with pytest.raises(WeightsError) as error:
        check(checkpoint("liveportrait-motion", fomm_state()))
    assert "does not fit its network" in error.value.message and "detector." in error.value.message
    assert error.value.hint == "This looks like fomm-vox: thcli weights import fomm-vox FILE"
    assert error.value.exit_code == 5
    check(checkpoint("fomm-vox-adv", fomm_state()))


def test_the_first_keys_that_differ_are_named() -> None:
    state = fomm_state()
    state["generator.final.weight"] = torch.empty(3, 3, device="meta")
    del state["kp_detector.kp.bias"]
    with pytest.raises(WeightsError, match=r"1 missing \(kp\.bias\)"):
        check(checkpoint("fomm-vox", state))
    state["kp_detector.kp.bias"] = fomm_state()["kp_detector.kp.bias"]
    with pytest.raises(WeightsError, match=r"final\.weight is \(3, 3\) instead of \(3, 64, 7, 7\)"):
        check(checkpoint("fomm-vox", state))


@pytest.mark.parametrize(
    "name", ["a2m-s", "dh-s", "dva-s", "fadm-s", "identity-s", "parse-s", "phones-en"]
)
def test_bundled_weights_fit_their_own_row_alone(name: str) -> None:
    state = {k: v.to("meta") for k, v in weights.load_tensors(name, prefix="").items()}
    check(checkpoint(name, state))
    with pytest.raises(WeightsError) as error:
        check(checkpoint("deep3d", state))
    assert error.value.hint.startswith(f"This looks like {name}:")


def test_an_archive_is_checked_by_its_members(tmp_path: Path) -> None:
    entry = weights.registry()["diffused-heads"]
    states = {name: {"w": torch.empty(2, device="meta")} for name in entry.members}
    with pytest.raises(WeightsError, match="diffused-heads holds no U-Net"):
        check(Checkpoint(entry, dict.fromkeys(entry.members, tmp_path), states))


def test_the_table_names_rows_and_modules_that_exist() -> None:
    assert set(MODULES) <= set(weights.registry())
    for module in set(MODULES.values()):
        assert callable(import_module(module).check_layout)


def test_all_networks_of_our_own_code_are_in_the_table() -> None:
    """Rows of libraries' networks, and of arrays, are checked when they are loaded."""
    stages: list[Any] = [STAGES[s] for s in ("engine", "refiner", "editor", "voice", "model3d")]
    rows = {name for stage in stages for row in stage.rows.values() for name in row.weights}
    assert rows <= set(MODULES)


def test_every_row_but_graphs_of_a_runtime_is_in_the_table() -> None:
    assert set(weights.registry()) - set(MODULES) == {"insightface-buffalo-l", "yunet", "sface"}


@pytest.mark.parametrize("name", ["atlas-s", "atlas-free", "dva-s-attributes", *TFLITE])
def test_bundled_files_fit_their_row_and_garbage_does_not(name: str, tmp_path: Path) -> None:
    entry = weights.registry()[name]
    check(read_checkpoint(entry, {entry.file: weights.locate(name)}))
    other = "selfie" if name != "selfie" else "blazeface-full"
    garbage = tmp_path / entry.file
    if name in TFLITE:
        garbage.write_bytes(weights.locate(other).read_bytes())
    else:
        save_file({"x": torch.zeros(3)}, garbage)
    refuse(read_checkpoint(entry, {entry.file: garbage}))


def library_states() -> Iterator[tuple[str, State]]:
    """Yield the states of networks that libraries or other rows of ours define.

    One at a time, and their parameters are not drawn: all of them take half a gigabyte.
    """
    make_torchvision_importable()
    from facexlib.alignment.awing_arch import FAN as Awing
    from facexlib.detection.retinaface import RetinaFace
    from facexlib.parsing.bisenet import BiSeNet
    from facexlib.parsing.parsenet import ParseNet

    from thcli.evaluate.metrics.networks.i3d import I3D
    from thcli.evaluate.metrics.networks.inception import InceptionV3
    from thcli.evaluate.metrics.networks.lpips import VARIANTS, Lpips
    from thcli.evaluate.metrics.networks.syncnet import SyncNet
    from thcli.train.keypoint_models.perceptual import Vgg19

    for variant in VARIANTS:
        lpips = Lpips(variant)
        backbone = {f"features.{k}": v for k, v in lpips.features.state_dict().items()}
        yield variant.backbone, backbone | {"classifier.1.bias": torch.zeros(1)}
        yield (
            variant.linear,
            {f"lin{i}.model.1.weight": w for i, w in enumerate(lpips.linear)},
        )
    networks: dict[str, Callable[[], torch.nn.Module]] = {
        "facexlib-retinaface-r50": lambda: RetinaFace("resnet50", device="cpu"),
        "facexlib-retinaface-mobilenet": lambda: RetinaFace("mobile0.25", device="cpu"),
        "facexlib-awing": lambda: Awing(num_modules=4, num_landmarks=98, device="cpu"),
        "facexlib-bisenet": lambda: BiSeNet(num_class=19),
        "facexlib-parsenet": lambda: ParseNet(in_size=512, out_size=512, parsing_ch=19),
        "vgg19": Vgg19,
        "inception-fid": InceptionV3,
        "i3d": I3D,
        "syncnet": SyncNet,
    }
    for name, build in networks.items():
        with Unfilled():
            network = build()
        yield name, network.state_dict()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_layouts_of_library_networks() -> None:
    for name, state in library_states():
        prefix = weights.registry()[name].key_prefix
        meta = {prefix + key: value.to("meta") for key, value in state.items()}
        check(checkpoint(name, meta))
        meta.pop(next(iter(meta)))
        refuse(checkpoint(name, meta))
