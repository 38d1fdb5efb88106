"""Mutated inputs, and every kept one: each gives a result or one sentence, nothing else."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.campaign import CORPUS, Part, run_part, warm_workshop
from tests.fuzz.mutate import repair_stream
from tests.fuzz.runner import execute
from tests.fuzz.seeds import Kit, Seed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
INPUTS = 150
Workshop = tuple[Kit, list[Seed]]


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    with warm_workshop() as workshop:
        yield workshop


def test_mutated_inputs_end_as_the_contract_says() -> None:
    """Fork the children from a small process: copies of a worker of the whole suite take longer."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        tallies = pool.apply(run_part, (Part(14, range(INPUTS)),))
    findings = [(name, wrong) for t in tallies.values() for name, _, wrong, _ in t.findings]
    assert findings == []
    assert sum(tally.inputs for tally in tallies.values()) == INPUTS
    assert all(tally.inputs for tally in tallies.values())


def test_the_runner_finds_what_is_wrong(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(argv: list[str]) -> int:
        raise KeyError("a bug")

    kit, seeds = workshop
    good = next(seed for seed in seeds if seed.kind == "image")
    assert execute("image", good.name, good.content, kit, 1).wrong == ""
    monkeypatch.setattr("tests.fuzz.runner.run", crash)
    assert execute("image", good.name, good.content, kit, 1).wrong == "exit code 1"


def test_repaired_streams_are_as_their_writer_made_them(workshop: Workshop) -> None:
    for stream in (seed.content for seed in workshop[1] if seed.kind == "stream"):
        bent = bytearray(stream)
        bent[27] ^= 1
        bent[-1] ^= 1  # the checksum of its end
        assert repair_stream(bytes(bent)) == stream != bytes(bent)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*-*")), ids=lambda path: path.name)
def test_kept_inputs(path: Path, workshop: Workshop) -> None:
    kind, _, name = path.name.partition("-")
    for seed in range(3):
        assert execute(kind, name, path.read_bytes(), workshop[0], seed).wrong == ""
