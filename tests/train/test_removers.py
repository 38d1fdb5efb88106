"""Tests of the training of removers: painted pairs, batches, losses, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from thcli.cli.app import run
from thcli.core.errors import MediaError, WeightsError
from thcli.core.events import silent
from thcli.core.options import RemoverNetwork, RemoverTrainOptions, RunOptions, TrainOptions
from thcli.editors.atlas.removers.network import RemoverNet, create_networks
from thcli.editors.atlas.removers.painter import RemoverPainter, load_networks
from thcli.editors.atlas.removers.parts import PARTS, REMOVABLE
from thcli.evaluate.datasets.labelled_images import read_labelled_folder
from thcli.train.atlas.train import write_synthetic_faces
from thcli.train.core.checkpoints import save_tensors
from thcli.train.data.face_tools import FaceTools
from thcli.train.removers import spectacles
from thcli.train.removers.batches import RemoverBatches
from thcli.train.removers.gains import psnr_gains
from thcli.train.removers.paint import VARIANTS
from thcli.train.removers.pairs import (
    BARE,
    BEARDED,
    GLASSES,
    StoredPairs,
    select_faces,
    store_pairs,
)
from thcli.train.removers.train import (
    RemoverTask,
    prior_tensors,
    removal_losses,
    run_network,
)

RUN = RunOptions(threads=1)


def refuse_tools() -> FaceTools:
    raise AssertionError("everything is stored")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("faces")
    write_synthetic_faces(made, 8, bare=True)
    return made


@pytest.fixture(scope="module")
def pairs(folder: Path) -> StoredPairs:
    images, kinds = select_faces(read_labelled_folder(folder), 8)
    return store_pairs(images, kinds, folder / "p", lambda: FaceTools.load(RUN, True), silent)


def test_bare_faces_and_wearers_are_selected(folder: Path) -> None:
    images, kinds = select_faces(read_labelled_folder(folder), 4)
    assert kinds.count(BARE) == 4 and set(kinds) <= {BARE, GLASSES, BEARDED}
    assert len(images) == len(kinds)


def test_pairs_differ_where_something_is_painted(pairs: StoredPairs) -> None:
    bare = pairs.rows(BARE)
    assert len(bare) >= 2
    for part in PARTS:
        textures = pairs.textures[part]
        assert textures.shape[1] == 1 + len(VARIANTS[part])
        for number in range(1, textures.shape[1]):
            changed = np.abs(textures[bare, number].astype(int) - textures[bare, 0]).max(-1) > 8
            assert 0.0 < changed.mean() < 0.7, (part, VARIANTS[part][number - 1])


def test_stored_pairs_are_not_painted_again(folder: Path, pairs: StoredPairs) -> None:
    images, kinds = select_faces(read_labelled_folder(folder), 8)
    again = store_pairs(images, kinds, folder / "p", refuse_tools, silent)
    assert all((again.textures[part] == pairs.textures[part]).all() for part in PARTS)
    with pytest.raises(MediaError, match="bare face"):
        store_pairs(
            images.at(np.array([0])),
            [BEARDED],
            folder / "q",
            lambda: FaceTools.load(RUN, True),
            silent,
        )


def test_batches_follow_from_seed_and_step(pairs: StoredPairs) -> None:
    one, other = (RemoverBatches(pairs, 3, 5, flip=True) for _ in range(2))
    for step in (0, 1, 7):
        first, second = one.batch(step), other.batch(step)
        assert all(torch.equal(first[name], second[name]) for name in first)
        part = PARTS["lower" if step % 2 else "eyes"]
        assert first["worn"].shape == (3, 3, part.height // 2, part.width // 2)
    assert not torch.equal(one.batch(0)["worn"], one.batch(2)["worn"])
    assert one.fingerprint == other.fingerprint and len(one) >= 1
    shown = one.held_out_batch("lower", "beard", 2)
    assert (shown["worn"] - shown["bare"]).abs().max() > 0.1


def test_drawn_glasses_cover_the_eyes_alone() -> None:
    """Rims darken or light, lenses dim; the corners of the part stay."""
    part = PARTS["eyes"]
    bare = np.full((part.height, part.width, 3), -0.7, np.float32)
    seen = np.zeros((part.height, part.width), bool)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        change = np.abs(spectacles.wear(bare, rng, rims=seed % 3 > 0) - bare).max(-1)
        assert np.isfinite(change).all() and change.max() < 3
        seen |= change > 0.1
    assert seen[:, part.width // 4 : part.width // 2].mean() > 0.5
    assert not seen[-4:, :8].any()


def test_the_losses_are_least_for_the_truth(pairs: StoredPairs) -> None:
    batch = RemoverBatches(pairs, 2, 0, flip=False).held_out_batch("eyes", "eyeglasses", 2)
    logit = torch.zeros_like(batch["weight"])
    right = removal_losses(batch["worn"], batch["bare"], logit, batch)
    wrong = removal_losses(batch["worn"], batch["worn"], logit, batch)
    assert right["pixels"] == 0 and right["edges"] == 0 and wrong["pixels"] > 0


def test_smoke_training_and_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that is interrupted and resumed ends with the losses of one that is not."""
    common = ["train", "removers", "--smoke", "--json", "--threads", "1", "--samples", "0"]
    whole = tmp_path / "whole"
    assert run([*common, "-o", str(whole), "--steps", "2"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["steps"] == 2 and Path(report["output"]).name == "removers-s.safetensors"
    assert report["use"] is None  # the width is not the engine's


def test_a_short_run_is_an_engine(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained at full width, resumed, and loaded as the painter loads it."""
    common = ["train", "removers", str(folder), "--json", "--threads", "1", "--samples", "0"]
    common += ["--persons", "0-9", "--pairs", str(folder / "p"), "--pictures", "8", "--batch", "2"]
    once, twice = tmp_path / "once", tmp_path / "twice"
    assert run([*common, "-o", str(once), "--steps", "2", "--every", "1"]) == 0
    assert run([*common, "-o", str(twice), "--steps", "1", "--every", "1"]) == 0
    assert run([*common, "-o", str(twice), "--steps", "2", "--every", "1", "--resume"]) == 0
    capsys.readouterr()
    painter = RemoverPainter(*load_networks(once / "removers-s.safetensors", RUN))
    assert "eyeglasses" in painter.attributes
    rows = [
        [json.loads(line)["step"] for line in (at / "log.jsonl").read_text().splitlines()]
        for at in (once, twice)
    ]
    assert rows[0] == rows[1] == [1, 2]


def test_a_run_starts_from_the_weights_of_another(tmp_path: Path, pairs: StoredPairs) -> None:
    options = TrainOptions(narrow=8, size=512)
    torch.manual_seed(1)
    earlier = create_networks(8)
    start = tmp_path / "start.safetensors"
    priors = RemoverBatches(pairs, 2, 0, flip=False).priors
    tensors = {
        f"{name}.{key}": value
        for name, network in earlier.items()
        for key, value in network.state_dict().items()
    }
    save_file({**tensors, **prior_tensors(priors)}, start)
    model_options = RemoverTrainOptions(start=str(start), network="makeup")
    task = RemoverTask(options, model_options, silent)
    assert task.net is task.networks["makeup"] and task.phases[0].networks == ("makeup",)
    for name, network in earlier.items():
        found = task.networks[name].state_dict()
        assert all(torch.equal(value, found[key]) for key, value in network.state_dict().items())
    assert all((task.priors[part].mean == priors[part].mean).all() for part in PARTS)
    with pytest.raises(WeightsError, match="instead"):
        RemoverTask(replace(options, narrow=4), model_options, silent)


@pytest.mark.parametrize("trained", ["worn", "makeup"])
def test_a_network_that_is_not_trained_changes_nothing(
    trained: RemoverNetwork, pairs: StoredPairs, tmp_path: Path
) -> None:
    """It can be trained from there by a later run."""
    torch.manual_seed(0)
    events: list[Any] = []
    options = TrainOptions(narrow=8, size=512)
    task = RemoverTask(options, RemoverTrainOptions(network=trained), events.append)
    other: RemoverNetwork = "makeup" if trained == "worn" else "worn"
    assert [event.message for event in events if other in event.message]
    data = RemoverBatches(pairs, 2, 0, flip=False, network=other)
    task.priors, batch = data.priors, data.batch(0)
    changes = {
        name: (run_network(network, batch).apply(batch["worn"]) - batch["worn"]).abs().max()
        for name, network in task.networks.items()
        if isinstance(network, RemoverNet)
    }
    assert changes[other] < 1e-5 < changes[trained]
    states = {name: network.state_dict() for name, network in task.networks.items()}
    save_tensors(start := tmp_path / "start.safetensors", task.export_tensors(states), {})
    later = RemoverTask(options, RemoverTrainOptions(network=other, start=str(start)), silent)
    assert run_network(later.net, batch).mask.max() > 0.2


def test_weights_of_one_network_are_refused(tmp_path: Path, pairs: StoredPairs) -> None:
    """As the layout before had it."""
    priors = prior_tensors(RemoverBatches(pairs, 2, 0, flip=False).priors)
    file = tmp_path / "before.safetensors"
    save_file({"net.out.bias": torch.zeros(16)} | priors, file)
    with pytest.raises(WeightsError, match="both networks"):
        load_networks(file, RUN)
    with pytest.raises(WeightsError, match="both networks"):
        RemoverTask(TrainOptions(size=512), RemoverTrainOptions(start=str(file)), silent)


def test_make_up_has_its_own_items(pairs: StoredPairs) -> None:
    """The network of make-up sees nothing else that is to be removed, faint or strong alike."""
    data = RemoverBatches(pairs, 3, 5, flip=True, network="makeup")
    makeup = REMOVABLE.index("makeup")
    assert all((data.batch(step)["condition"][:, makeup] == 1).all() for step in (0, 1))
    worn = RemoverBatches(pairs, 3, 5, flip=True).batch(0)["condition"]
    assert (worn[:, REMOVABLE.index("eyeglasses")] == 1).all()
    batch = {name: plane[:2] for name, plane in data.batch(1).items()}
    batch["bare"][0] = batch["worn"][0] + 0.02
    batch["bare"][1] = batch["worn"][1] + 0.5
    logit = torch.zeros_like(batch["weight"])
    shares = []
    for even in (False, True):
        halves = []
        for right in (0, 1):  # which of both faces is right
            output = batch["worn"].clone()
            output[right] = batch["bare"][right]
            terms = removal_losses(batch["worn"], output, logit, batch, even=even)
            halves.append(float(terms["pixels"]))
        shares.append(halves[1] / sum(halves))  # of the faint one
    assert shares[0] < 0.1 < shares[1]


def test_the_gain_of_doing_nothing_is_zero(pairs: StoredPairs) -> None:
    torch.manual_seed(0)
    network = RemoverNet(8).eval()
    with torch.no_grad():
        network.out.weight.zero_()
        assert network.out.bias is not None
        network.out.bias.fill_(-40)
    bare = len(pairs.rows(BARE))
    priors = RemoverBatches(pairs, 2, 0, flip=False).priors
    data = RemoverBatches(pairs, 2, 0, flip=False, priors=priors, held_out=bare)
    networks: dict[RemoverNetwork, RemoverNet] = {"worn": network, "makeup": network}
    gains = psnr_gains(networks, data)
    assert {(one.part, one.attribute) for one in gains} == {
        (part, name) for part, spec in PARTS.items() for name in spec.removes
    }
    assert all((one.gain, one.larger, one.faces) == (0.0, 0.0, bare) for one in gains)
    found = run_network(network, data.held_out_batch("eyes", "eyeglasses", 2))
    assert found.mask.max() < 1e-6


def test_batches_of_held_out_faces_join_to_one(pairs: StoredPairs) -> None:
    """Every held-out face is drawn once, whatever the size of the batches."""
    data = RemoverBatches(pairs, 2, 0, flip=False, held_out=3)
    whole = data.held_out_batch("lower", "beard", 3)
    parts = [data.held_out_batch("lower", "beard", 2, first) for first in (0, 2)]
    assert data.held_out == 3
    for name, value in whole.items():
        assert torch.equal(value, torch.cat([part[name] for part in parts]))


def test_the_command_measures_the_bundled_removers(
    folder: Path, pairs: StoredPairs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All faces that can be painted, fewer than asked for."""
    report = tmp_path / "gains.json"
    words = ["--persons", "0-9", "--pictures", "30", "--threads", "1", "-o", str(report)]
    assert run(["eval", "removers", str(folder), *words]) == 0
    content = json.loads(report.read_text())
    usable, found = len(pairs.rows(BARE)), content["gains"]
    assert content["faces"] == usable
    assert {part: set(own) for part, own in found.items()} == {
        part: set(spec.removes) for part, spec in PARTS.items()
    }
    assert min(found["eyes"]["eyeglasses"]["gain"], found["lower"]["beard"]["gain"]) > 2
    printed = capsys.readouterr()
    assert "PSNR gain" in printed.out
    assert f"Only {usable} bare faces are usable; --pictures asks for 30." in printed.err
    assert run(["eval", "removers", str(folder), "--weights", str(report), *words[:-2]]) == 5
