"""Tests of DVA: the published layout, the Editor protocol and the import of an official file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.editors.dva.shallow import shallow_encoder
from thcli import weights
from thcli.core.errors import DeviceError, UsageError, WeightsError
from thcli.core.options import EditorOptions, RunOptions
from thcli.core.protocols import Editor
from thcli.core.types import Image
from thcli.editors.backends import EDITORS
from thcli.editors.dva import attributes, editor
from thcli.editors.dva.attributes import IdentityDirections
from thcli.editors.dva.editor import Dva, mean_identity
from thcli.editors.dva.encoder import Encoder
from thcli.editors.dva.landmarks import GlobalDepthwise
from thcli.editors.dva.network import NoiseEstimator, NoiseEstimatorShape
from thcli.editors.shared.celeba import CELEBA
from thcli.weights.manage import import_file

RUN = RunOptions(device="cpu", threads=1)
TINY = NoiseEstimatorShape(size=64, width=8, times=(1, 2), blocks=1, attention=(2,))
FEW = EditorOptions(steps=4)


def randomize_weights(network: nn.Module) -> Any:
    """Fill a network with moderate random weights and norms, as after training."""
    generator = torch.Generator().manual_seed(3)
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("running_var"):
            tensor.copy_(0.5 + 0.5 * noise.abs())
        elif tensor.dim() <= 1:
            tensor.copy_(1 + 0.1 * noise if name.endswith("weight") else 0.05 * noise)
        else:
            tensor.copy_(noise / np.sqrt(np.prod(tensor.shape[1:])))
    return network.eval().requires_grad_(False)


class LinearEstimator(NoiseEstimator):
    """Estimator that is linear in x and in the face's first three numbers."""

    def forward(self, x: Tensor, timesteps: Tensor, face: Tensor) -> Tensor:
        return 0.5 * x + 0.1 * face[:, :3, None, None]


def make_crops(count: int) -> list[Image]:
    return list(np.random.default_rng(1).integers(0, 256, (count, 64, 64, 3), np.uint8))


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return randomize_weights(shallow_encoder())  # type: ignore[no-any-return]  # what it was given


@pytest.fixture(scope="module")
def dva(encoder: Encoder) -> Dva:
    """Return an editor with small random weights, whose estimate depends on the face."""
    network = randomize_weights(NoiseEstimator(TINY))
    return Dva(network, encoder, RUN, FEW)


def test_keys_and_shapes_are_the_published_ones(shared: Path) -> None:
    table = json.loads((shared / "specs" / "DVA.keys.json").read_text())
    with torch.device("meta"):
        network, whole = NoiseEstimator(), Encoder()

    def layout(module: nn.Module, prefix: str = "") -> dict[str, list[object]]:
        state = module.state_dict().items()
        return {
            prefix + key: [list(t.shape), str(t.dtype).removeprefix("torch.")] for key, t in state
        }

    assert layout(network) == table["unet"]
    groups = [name for name in table if name.startswith("encoder.")]
    assert layout(whole, "encoder.") == {
        key: shape for name in groups for key, shape in table[name].items()
    }


def test_is_an_editor(dva: Dva) -> None:
    checked: Editor = dva
    identities, landmarks = checked.encode(make_crops(2), ())
    assert identities.shape == (2, 512) and landmarks.shape == (2, 102)
    np.testing.assert_allclose(np.linalg.norm(identities, axis=1), 1, atol=1e-5)
    assert landmarks.min() >= 0 and landmarks.max() <= 1
    assert checked.crop_size == 64 and checked.template == "ffhq"


def test_nothing_depends_on_the_batch(dva: Dva) -> None:
    """A CPU gives the same bits for any batch."""
    images = make_crops(2)
    identities, landmarks = dva.encode(images, ())
    who = mean_identity(identities)
    latents = dva.invert(images, who, landmarks)
    assert latents.shape == (2, 3, 64, 64)
    made = dva.decode(latents, who, landmarks)
    for n, image in enumerate(images):
        here = slice(n, n + 1)
        alone = dva.encode([image], ())
        assert np.array_equal(alone[0][0], identities[n]) and np.array_equal(
            alone[1][0], landmarks[n]
        )
        assert np.array_equal(dva.invert([image], who, landmarks[here]), latents[here])
        assert np.array_equal(dva.decode(latents[here], who, landmarks[here])[0], made[n])


def test_larger_batches_compute_the_same(dva: Dva) -> None:
    """A GPU computes several frames in one call, equal up to rounding."""
    x, face = torch.randn(3, 3, 64, 64), torch.randn(3, 512)
    times = torch.tensor([500, 0, 37])
    with torch.inference_mode():
        whole = dva.network(x, times, face)
        each = [dva.network(x[n : n + 1], times[n : n + 1], face[n : n + 1]) for n in range(3)]
    assert torch.allclose(whole, torch.cat(each), atol=1e-4)


@pytest.mark.parametrize("sampler", ["ddim", "dpm++"])
def test_an_unedited_image_is_reconstructed(encoder: Encoder, sampler: Any) -> None:
    """Reconstruction through x_T improves with steps; another identity gives another image."""
    soft = np.linspace(60, 190, 64).astype(np.uint8)
    images = [np.ascontiguousarray(np.broadcast_to(soft[:, None, None], (64, 64, 3)))]
    errors = []
    for steps in (10, 100):
        options = EditorOptions(steps=steps, sampler=sampler)
        one = Dva(LinearEstimator(TINY), encoder, RUN, options)
        identities, landmarks = one.encode(images, ())
        latents = one.invert(images, identities[0], landmarks)
        back = one.decode(latents, identities[0], landmarks)[0]
        errors.append(np.abs(back.astype(int) - images[0]).mean())
        other = one.decode(latents, np.roll(identities[0], 7), landmarks)[0]
        assert not np.array_equal(other, back)
    assert errors[1] < 3 and errors[1] < errors[0]


def test_masks_are_hard(dva: Dva) -> None:
    (mask,) = dva.masks(make_crops(1))
    assert mask.shape == (256, 256) and set(np.unique(mask)) <= {0, 255}


def test_invalid_steps_and_devices_are_refused(encoder: Encoder) -> None:
    with pytest.raises(UsageError, match="600"):
        Dva(NoiseEstimator(TINY), encoder, RUN, EditorOptions(steps=600))
    with pytest.raises(UsageError, match="--steps"):
        EditorOptions(steps=1)
    with pytest.raises(DeviceError, match="cuda:7"):
        Dva(NoiseEstimator(TINY), encoder, replace(RUN, device="cuda:7"))


def make_directions() -> IdentityDirections:
    rng = np.random.default_rng(0)
    rows, mean, spread = (
        rng.standard_normal((40, 512)),
        0.02 * rng.standard_normal(512),
        0.04 * (rng.random(512) + 0.5),
    )
    return IdentityDirections(
        rows.astype(np.float32), mean.astype(np.float32), spread.astype(np.float32)
    )


def test_attributes_compose_and_take_away() -> None:
    table = make_directions()
    who = attributes.normalize(np.random.default_rng(5).standard_normal(512).astype(np.float32))
    np.testing.assert_allclose(table.move_published(who, {}), who, atol=1e-6)
    both = table.move_published(who, {"Smiling": 0.25, "young": -0.25})
    assert np.linalg.norm(both) == pytest.approx(1, abs=1e-5)
    change = (table.scores(both[None]) - table.scores(who[None]))[0]
    smiling, young = CELEBA.index("Smiling"), CELEBA.index("Young")
    assert change.argmax() == smiling and change.argmin() == young
    np.testing.assert_array_equal(
        table.move_published(who, {"no-beard": 0.2}), table.move_published(who, {"No_Beard": 0.2})
    )
    np.testing.assert_allclose(table.move_unnormalized(who, {}), who, atol=1e-6)


def test_unknown_attributes_offer_the_nearest() -> None:
    with pytest.raises(UsageError, match="'glasses'") as caught:
        make_directions().row_index("glasses")
    assert "eyeglasses" in caught.value.hint


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "cache"))
    return tmp_path


def official_state(network: nn.Module, encoder: Encoder) -> dict[str, Tensor]:
    return {
        **network.state_dict(),
        **{f"encoder.{key}": value for key, value in encoder.state_dict().items()},
    }


@pytest.mark.slow
def test_an_official_file_is_imported_and_edits(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Lightning checkpoint with raw and averaged weights becomes safetensors and an editor."""
    monkeypatch.setattr(editor, "NoiseEstimator", lambda: NoiseEstimator(TINY))
    monkeypatch.setattr(editor, "Encoder", shallow_encoder)
    whole = shallow_encoder()
    network = randomize_weights(NoiseEstimator(TINY))
    names = official_state(network, whole)
    state = {f"ema_model.{key}": value for key, value in names.items()}
    state |= {f"model.{key}": value + 1 for key, value in network.state_dict().items()}
    file = cache / "epoch=51-step=1000000.ckpt"
    torch.save(
        {
            "state_dict": state,
            "epoch": 51,
            "optimizer_states": [{"state": {}}],
            "pytorch-lightning_version": "1.6.1",
        },
        file,
    )
    import_file("dva", file, trust=True)
    file.unlink()
    loaded = EDITORS.rows["dva"].load(RUN, FEW)
    assert isinstance(loaded, Dva) and loaded.options == FEW
    assert torch.equal(
        loaded.network.state_dict()["time_embed.time_embed.0.weight"],
        names["time_embed.time_embed.0.weight"],
    )
    assert loaded.encode(make_crops(1), ())[0].shape == (1, 512)


def test_another_models_tensors_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editor, "NoiseEstimator", lambda: NoiseEstimator(TINY))
    monkeypatch.setattr(editor, "Encoder", shallow_encoder)
    with pytest.raises(WeightsError, match=r"dva .*missing"):
        editor.assemble({"x": torch.zeros(1)}, "dva")


def test_the_landmark_trunks_second_name_holds() -> None:
    given = GlobalDepthwise()
    state = {
        key: torch.full_like(value, 2.0 if key.startswith("base_net") else 1.0)
        for key, value in given.state_dict().items()
    }
    given.load_state_dict(state)
    assert given.state_dict()["pretrain_net.features.0.0.weight"].eq(2).all()


def classifier_state() -> dict[str, Tensor]:
    table = make_directions()
    state = {f"{prefix}classifier.weight": torch.from_numpy(table.rows) for prefix in ("", "ema_")}
    state |= {f"{prefix}classifier.bias": torch.zeros(40) for prefix in ("", "ema_")}
    statistics = {"conds_mean": table.mean, "conds_std": table.spread}
    return state | {name: torch.from_numpy(numbers)[None] for name, numbers in statistics.items()}


def test_the_classifiers_official_file(cache: Path) -> None:
    file = cache / "last.ckpt"
    torch.save({"state_dict": classifier_state(), "global_step": 300000}, file)
    import_file("dva-classifier", file, trust=True)
    loaded, wanted = attributes.load(RUN), make_directions()
    for ours, theirs in (
        (loaded.rows, wanted.rows),
        (loaded.mean, wanted.mean),
        (loaded.spread, wanted.spread),
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["dva", "dva-classifier"])
def test_absent_weights_and_licence(name: str, cache: Path) -> None:
    load = EDITORS.backend("dva").load if name == "dva" else attributes.load
    with pytest.raises(WeightsError) as caught:
        load(replace(RUN, offline=True))
    assert caught.value.exit_code == 5 and f"thcli weights pull {name}" in caught.value.hint
    with pytest.raises(WeightsError, match="--licence free"):
        load(replace(RUN, licence="free"))
    assert weights.registry()[name].sources
