"""Tests of clip-s: vocabulary, captions, networks, and OpenAI's CLIP."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from thcli.core.errors import UsageError, WeightsError
from thcli.core.options import RunOptions
from thcli.editors.backends import TEXT_MODELS
from thcli.editors.clip import official
from thcli.editors.clip.captions import make_caption, match_labels
from thcli.editors.clip.network import EMBEDDING_SIZE, ClipSmall
from thcli.editors.clip.small import ClipSmallModel
from thcli.editors.clip.vocabulary import (
    ADJECTIVES,
    CLAUSES,
    FEATURES,
    NEGATABLE_FEATURES,
    PERSON_NOUNS,
    VOCABULARY,
    split_words,
    tokenize,
)
from thcli.editors.shared.celeba import CELEBA

RARITY = np.ones(len(CELEBA))


def make_tiny_model() -> ClipSmallModel:
    torch.manual_seed(3)
    return ClipSmallModel(ClipSmall(8).eval().requires_grad_(False), torch.device("cpu"))


def test_words_of_a_text() -> None:
    assert split_words("A clean-shaven man's five o\u2019clock shadow!") == [
        "a",
        "clean",
        "shaven",
        "mans",
        "five",
        "oclock",
        "shadow",
    ]
    numbers = tokenize(["a man", "a man with a beard"])
    assert numbers.shape == (2, 5) and (numbers[0] > 0).sum() == 2
    assert numbers[0, :2].tolist() == numbers[1, :2].tolist()


def test_every_label_is_of_celeba_and_every_word_is_known() -> None:
    for table in (PERSON_NOUNS, ADJECTIVES, NEGATABLE_FEATURES, FEATURES, CLAUSES):
        for words, label_values in table.items():
            assert set(label_values) <= set(CELEBA)
            tokenize([words])
    spoken = {
        name
        for table in (PERSON_NOUNS, ADJECTIVES, NEGATABLE_FEATURES, FEATURES, CLAUSES)
        for label_values in table.values()
        for name in label_values
    }
    assert spoken == set(CELEBA)
    assert len(set(VOCABULARY)) == len(VOCABULARY)


def test_unknown_words_are_named_with_near_ones() -> None:
    with pytest.raises(UsageError) as err:
        tokenize(["a person with eyeglases", "a zombie queen with eyeglases"])
    assert err.value.exit_code == 2 and "eyeglases" in err.value.message
    assert "eyeglasses" in err.value.hint and "thcli weights pull clip-vit-b16" in err.value.hint
    with pytest.raises(UsageError, match="zombie, queen"):
        tokenize(["a zombie queen"])
    with pytest.raises(UsageError, match="0 words"):
        tokenize([" ?! "])
    with pytest.raises(UsageError, match="33 words"):
        tokenize(["man " * 33])


@given(st.integers(0, 2**40 - 1), st.integers(0, 10**6))
def test_a_caption_is_true_of_its_face(bits: int, seed: int) -> None:
    labels = np.array([bits >> place & 1 for place in range(len(CELEBA))], np.bool_)
    said = make_caption(labels, np.random.default_rng(seed), RARITY)
    assert match_labels([said.label_values], labels[None])[0, 0]
    tokenize([said.text])


def test_captions_affirm_and_deny() -> None:
    bare, glasses = np.zeros(len(CELEBA), np.bool_), np.zeros(len(CELEBA), np.bool_)
    glasses[CELEBA.index("Eyeglasses")] = True
    found = {
        key: [make_caption(labels, np.random.default_rng(n), RARITY) for n in range(600)]
        for key, labels in (("bare", bare), ("glasses", glasses))
    }
    denied = [one.text for one in found["bare"] if one.label_values.get("Eyeglasses") is False]
    texts = [one.text for one in found["glasses"] if one.label_values.get("Eyeglasses")]
    assert denied and all("without" in t or "no " in t or "not " in t for t in denied)
    assert texts and not any("without eyeglasses" in text for text in texts)
    table = match_labels(
        [{"Eyeglasses": True}, {"Eyeglasses": False}, {}], np.stack([bare, glasses])
    )
    assert table.tolist() == [[False, True, True], [True, False, True]]


def test_rows_are_of_unit_length_and_gradients_reach_the_pixels() -> None:
    model = make_tiny_model()
    images = torch.rand(2, 3, 96, 96, requires_grad=True)
    seen, said = model.encode_image(images), model.encode_text(["a man", "a man without a beard"])
    assert seen.shape == said.shape == (2, EMBEDDING_SIZE)
    torch.testing.assert_close(seen.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(said.norm(dim=1), torch.ones(2))
    (seen @ said[0]).sum().backward()  # type: ignore[no-untyped-call]  # torch's own
    assert images.grad is not None and float(images.grad.abs().max()) > 0


def test_a_text_does_not_depend_on_those_beside_it_but_on_the_order_of_its_words() -> None:
    model = make_tiny_model()
    alone = model.encode_text(["a man"])
    beside = model.encode_text(
        ["a man", "a photo of a smiling young woman without eyeglasses and with a hat"]
    )
    torch.testing.assert_close(alone[0], beside[0], atol=1e-5, rtol=1e-5)
    one, other = model.encode_text(
        ["a man with a hat without a beard", "a man without a hat with a beard"]
    )
    assert float((one - other).abs().max()) > 1e-3


class FakeClip(nn.Module):
    """Stand-in for the used part of open_clip's network."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = nn.Linear(3, 5, bias=False)
        self.token = nn.Embedding(10, 5)

    def encode_image(self, x: Tensor) -> Tensor:
        assert x.shape[-2:] == (224, 224)
        out: Tensor = self.visual(x.mean((2, 3)))
        return out

    def encode_text(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.token(tokens).mean(1)
        return out


def test_the_real_clip_takes_openais_tensors() -> None:
    network = FakeClip()
    tensors = {k: v.half() for k, v in network.state_dict().items()} | {
        "context_length": torch.tensor(77)
    }
    model = official.build(
        "clip-b16",
        network,
        lambda texts: torch.ones(len(texts), 4, dtype=torch.long),
        ["{}"],
        tensors,
        torch.device("cpu"),
    )
    images = torch.rand(2, 3, 64, 64, requires_grad=True)
    seen = model.encode_image(images)
    torch.testing.assert_close(seen.norm(dim=1), torch.ones(2))
    seen[:, 0].sum().backward()  # type: ignore[no-untyped-call]  # torch's own
    assert images.grad is not None and float(images.grad.abs().max()) > 0
    assert model.encode_text(["anything at all"]).shape == (1, 5)
    with pytest.raises(WeightsError, match="missing"):
        official.build("clip-b16", FakeClip(), None, [], {}, torch.device("cpu"))


def test_without_open_clip_the_hint_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    for name in ("clip-b32", "clip-b16"):
        with pytest.raises(UsageError, match="open_clip_torch") as err:
            TEXT_MODELS.rows[name].load(RunOptions())
        assert "thcli[clip]" in err.value.hint and "thcli weights pull clip-vit" in err.value.hint


def test_without_clip_weights_the_hint_names_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    monkeypatch.setitem(sys.modules, "open_clip", SimpleNamespace())
    with pytest.raises(WeightsError) as err:
        TEXT_MODELS.rows["clip-b16"].load(RunOptions(offline=True))
    assert "clip-vit-b16" in str(err.value)
