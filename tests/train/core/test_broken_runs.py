"""Files of a run that are damaged: a log ends at its first bad line, a checkpoint is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from thcli.core.errors import UsageError
from thcli.train.core.checkpoints import Checkpoints
from thcli.train.core.run_log import read_log


@given(tail=st.binary(max_size=60))
def test_a_log_ends_at_its_first_bad_line(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "log.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n' + tail)
    rows = read_log(path)
    assert [row["step"] for row in rows[:2]] == [1, 2]
    assert all(isinstance(row["step"], int) for row in rows)


@pytest.mark.parametrize("line", [b"3", b"[]", b"{}", b'{"step": "x"}', b"\xff", b"[" * 100_000])
def test_lines_that_are_no_rows(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "log.jsonl").write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 2}\n')
    assert read_log(tmp_path / "log.jsonl") == [{"step": 1}]


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"step": "3"},
        {"config": "{}"},
        {"step": "many", "config": "{}"},
        {"step": "3", "config": "{"},
        {"step": "3", "config": "[]"},
    ],
)
def test_a_checkpoint_without_its_facts(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.folder.mkdir()
    save_file({"x": torch.zeros(1)}, checkpoints.folder / "step-00000003.safetensors", metadata)
    with pytest.raises(UsageError, match=r"step-00000003.* is broken"):
        checkpoints.load({})


def test_a_checkpoint_of_other_bytes(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.folder.mkdir()
    path = checkpoints.save(3, {"x": torch.zeros(1)}, {"size": 64})
    assert checkpoints.load({"size": 64})[0] == 3
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(UsageError, match="is broken"):
        checkpoints.load({"size": 64})
