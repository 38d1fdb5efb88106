"""What may not be used freely is refused under --licence free, whatever asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from thcli.core.backends import AUTO, TABLE
from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions
from thcli.weights import allowed, registry

FREE = RunOptions(device="cpu", licence="free")
ROWS = [(stage, name) for stage, rows in TABLE.items() for name in rows]
BOUND = [(s, n) for s, n in ROWS if not all(allowed(registry()[w], "free") for w in TABLE[s][n].weights)]


@pytest.mark.parametrize(("stage", "name"), BOUND)
def test_free_refuses_every_backend_that_is_not(
    stage: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="--licence free") as caught:
        TABLE[stage][name].load(FREE)
    assert caught.value.exit_code == 5


def test_what_free_chooses_by_itself_is_free() -> None:
    chosen = {(stage, row["free"]) for stage, row in AUTO.items() if row["free"]}
    assert chosen and not chosen & set(BOUND)
    assert {("voice", "a2m"), ("engine", "fomm"), ("parser", "parse-s")} <= set(BOUND)
