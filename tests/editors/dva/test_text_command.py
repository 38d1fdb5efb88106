"""`thcli edit --text … --engine dva` from files in the cache to the edited clip.

The files have the official layouts, with random weights in narrow.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.editors.dva.narrow_clip import EMBEDDING, NarrowClip, OpenClip
from tests.editors.dva.shallow import shallow_encoder
from tests.editors.dva.test_editor import official_state, randomize_weights
from tests.pipeline.face_clip import write_face_clip
from thcli import media
from thcli.cli.app import run
from thcli.core.options import ReadOptions, RunOptions
from thcli.editors.backends import TEXT_MODELS
from thcli.editors.dva import editor
from thcli.editors.dva.network import NoiseEstimator, NoiseEstimatorShape
from thcli.editors.edit_file import load
from thcli.weights.manage import cache_folder, import_file

FILES = {"dva": "epoch=51-step=1000000.ckpt", "clip-vit-b32": "32.pt", "clip-vit-b16": "16.pt"}
# The published face masks are of 256 pixels.
NARROW = NoiseEstimatorShape(width=8, times=(1, 1, 1, 1, 2), blocks=1, attention=(16,))
WORDS = ["--text", "a zombie", "--engine", "dva", "--device", "cpu", "-q"]
FEW = ["--steps", "2", "--text-steps", "2", "--iterations", "2", "--text-rate", "0.1"]


@pytest.fixture(scope="module")
def filled_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache with the weights of dva and of both sizes of CLIP."""
    folder = tmp_path_factory.mktemp("official")
    torch.manual_seed(5)
    encoder = randomize_weights(shallow_encoder())
    state = official_state(randomize_weights(NoiseEstimator(NARROW)), encoder)
    prefixed = {f"ema_model.{key}": value for key, value in state.items()}
    torch.save({"state_dict": prefixed, "epoch": 51}, folder / FILES["dva"])
    for patch in (32, 16):
        save_file(
            {key: value.half() for key, value in NarrowClip(patch).state_dict().items()},
            folder / f"{patch}.pt",
        )
    link_weights(cache_folder(), folder / "cache", FILES)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("THCLI_WEIGHTS", str(folder / "cache"))
        for entry, name in FILES.items():
            import_file(entry, folder / name, trust=True)
            (folder / name).unlink()
    return folder / "cache"


def link_weights(cache: Path, other: Path, left_out: Iterable[str]) -> None:
    """Make another cache with the entries of a cache, but some."""
    other.mkdir()
    for folder in cache.iterdir() if cache.is_dir() else ():
        if folder.name not in {*left_out, ".locks"}:
            (other / folder.name).symlink_to(folder)


@pytest.fixture
def open_clip(monkeypatch: pytest.MonkeyPatch) -> OpenClip:
    """Put the stand-in in place of the package, and narrow networks in place of the published."""
    package = OpenClip()
    monkeypatch.setitem(sys.modules, "open_clip", package)
    monkeypatch.setattr(editor, "NoiseEstimator", lambda: NoiseEstimator(NARROW))
    monkeypatch.setattr(editor, "Encoder", shallow_encoder)
    return package


def pixels_of(path: Path) -> list[Any]:
    with media.read(path, ReadOptions()) as frames:
        return [frame.pixels.astype(int) for frame in frames]


@pytest.mark.slow
def test_a_text_is_learnt_and_edits_every_frame(
    filled_cache: Path,
    open_clip: OpenClip,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All 79 templates of both texts are read, the identity moves, and the face with it."""
    monkeypatch.setenv("THCLI_WEIGHTS", str(filled_cache))
    source, out, kept = (tmp_path / name for name in ("a.mp4", "b.mkv", "c.edit.safetensors"))
    write_face_clip(source, 2)
    argv = ["edit", str(source), "-o", str(out), "--codec", "ffv1", "--save-edit", str(kept)]
    assert run([*argv, *WORDS, "--text-model", "clip-b16", *FEW]) == 0
    assert open_clip.asked == ["ViT-B-16-quickgelu"]
    learnt = [text for text in open_clip.read if text.startswith("photo ")]
    assert len(learnt) == len(set(learnt)) == 2 * 79
    assert not any("many" in text for text in open_clip.read)
    stored = load(kept)
    assert (stored.source, stored.target, stored.editor) == ("a face", "a zombie", "dva")
    assert stored.text_model == "clip-b16" and stored.step is not None
    assert 0.1 < np.abs(stored.step).max() < 0.5 and stored.step.shape == (512,)
    changes = [np.abs(a - b).max(2) for a, b in zip(pixels_of(out), pixels_of(source), strict=True)]
    assert all(change[80:110, 80:110].any() and not change[:6].any() for change in changes)


@pytest.mark.parametrize("patch", [32, 16])
def test_both_sizes_of_clip_are_read(
    patch: int, filled_cache: Path, open_clip: OpenClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(filled_cache))
    model = TEXT_MODELS.backend(f"clip-b{patch}").load(RunOptions(device="cpu", offline=True))
    assert open_clip.asked == [f"ViT-B-{patch}-quickgelu"] and len(model.templates) == 79
    rows = torch.cat([model.encode_text(["a", "b"]), model.encode_image(torch.rand(1, 3, 64, 64))])
    assert rows.shape == (3, EMBEDDING)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(3))


@pytest.mark.parametrize("missing", ["dva", "clip-vit-b16"])
def test_missing_weights_end_with_code_5(
    missing: str,
    filled_cache: Path,
    open_clip: OpenClip,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "cache"))
    link_weights(filled_cache, tmp_path / "cache", [missing])
    write_face_clip(tmp_path / "a.mp4", 1)
    argv = ["edit", str(tmp_path / "a.mp4"), "-o", str(tmp_path / "b.mkv"), *WORDS]
    assert run([*argv, "--text-model", "clip-b16"]) == 5
    assert f"thcli weights pull {missing}" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "b.mkv").exists()
