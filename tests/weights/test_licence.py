"""Refusal of restricted weights under --licence free."""

from __future__ import annotations

from pathlib import Path

import pytest

from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions
from thcli.pipeline.backends import STAGES
from thcli.weights import is_allowed, registry

FREE = RunOptions(device="cpu", licence="free")
ROWS = [(stage, name) for stage, it in STAGES.items() for name in it.rows]
RESTRICTED = [
    (s, n)
    for s, n in ROWS
    if not all(is_allowed(registry()[w], "free") for w in STAGES[s].rows[n].weights)
]


@pytest.mark.parametrize(("stage", "name"), RESTRICTED)
def test_free_refuses_every_backend_that_is_not(
    stage: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="--licence free") as caught:
        STAGES[stage].rows[name].load(FREE)
    assert caught.value.exit_code == 5


def test_what_free_chooses_by_itself_is_free() -> None:
    chosen = {
        (stage, it.defaults["free"]) for stage, it in STAGES.items() if it.defaults.get("free")
    }
    assert chosen and not chosen & set(RESTRICTED)
    assert {("voice", "a2m"), ("engine", "fomm"), ("parser", "parse-s")} <= set(RESTRICTED)
