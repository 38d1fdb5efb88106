"""Choice of the identity backend by --identity, and its lazy loading."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from thcli.core.errors import UsageError, WeightsError
from thcli.core.options import RunOptions
from thcli.faces.backends import IDENTITIES
from thcli.faces.identity.encoder import load_encoder, normalize_rows


def test_auto_is_our_network_and_none_is_none() -> None:
    own = load_encoder("auto", RunOptions())
    assert own is not None and own.name == "identity-s"
    assert load_encoder("none", RunOptions()) is None


def test_a_free_licence_has_no_default() -> None:
    free = RunOptions(licence="free")
    assert load_encoder("auto", free) is None
    with pytest.raises(WeightsError, match="--licence free"):
        load_encoder("identity-s", free)


def test_an_unknown_backend_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="sface"):
        load_encoder("sface", RunOptions())
    with pytest.raises(UsageError, match="no identity named 'arcface'") as caught:
        load_encoder("arcface", RunOptions())
    for name in IDENTITIES.rows:
        assert name in caught.value.hint


def test_torch_comes_with_the_first_face() -> None:
    program = """
import sys
from thcli.core.options import FaceOptions, RunOptions
from thcli.pipeline.observe.face_finder import FaceFinder
finders = FaceFinder.load(FaceOptions(), RunOptions())
assert finders.identity is not None
assert "torch" not in sys.modules
import numpy as np
finders.identity.encode_crops([np.zeros((112, 112, 3), np.uint8)])
assert "torch" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_normalize_rows() -> None:
    rows = normalize_rows([np.array([3, 4], np.float32), np.array([0, 0], np.float32)])
    assert rows.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]
    assert normalize_rows([]).shape == (0, 0)
