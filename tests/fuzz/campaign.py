"""A fuzzing campaign: seeds, mutations, a table by kind."""

from __future__ import annotations

import contextlib
import gc
import io
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from tests.faults.forks import without_threads
from tests.fuzz.mutate import mutate, repair_stream
from tests.fuzz.runner import command, execute
from tests.fuzz.seeds import Kit, Seed, make_kit, make_seeds
from tests.golden.fill import release_memory
from thcli.cli.app import run
from thcli.cli.layouts import MODULES

CORPUS = Path(__file__).parent / "corpus"
# Share of each kind in a campaign.
SHARES = {
    "video": 28,
    "image": 22,
    "weights": 16,
    "motion": 8,
    "stream": 6,
    "sound": 6,
    "crops": 6,
    "config": 5,
    "edit": 3,
}


@dataclass
class Tally:
    """Counts of one kind. findings: (name of the input, content, what was wrong, stderr)."""

    inputs: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    findings: list[tuple[str, bytes, str, str]] = field(default_factory=list)


@contextmanager
def warm_workshop() -> Iterator[tuple[Kit, list[Seed]]]:
    """Yield companions and seeds in this process, with all modules imported and no extra threads.

    Children are forked from here, so that an input costs no imports.
    """
    with (
        without_threads(),
        tempfile.TemporaryDirectory() as name,
        contextlib.redirect_stderr(io.StringIO()),
    ):
        folder = Path(name)
        kit = make_kit(folder)
        seeds = make_seeds(folder, kit)
        (folder / "out").mkdir()
        for kind in SHARES:
            seed = next(s for s in seeds if s.kind == kind)
            if kind != "weights":
                path = folder / seed.name
                path.write_bytes(seed.content)
                run(command(kind, path, kit, random.Random(0)))
        for module in set(MODULES.values()):
            import_module(module)
        release_memory()
        gc.freeze()  # children would copy the pages of what their rounds touch
        yield kit, seeds


@dataclass(frozen=True)
class Part:
    """Inputs of a campaign by number. An input depends on its number and the seed alone."""

    seed: int
    numbers: range


def fuzz(workshop: tuple[Kit, list[Seed]], part: Part) -> dict[str, Tally]:
    """Run the inputs of a part and return the tallies by kind."""
    kit, seeds = workshop
    tallies = {kind: Tally() for kind in SHARES}
    for number in part.numbers:
        chance = random.Random(part.seed * 1_000_003 + number)
        kind = chance.choices(list(SHARES), list(SHARES.values()))[0]
        base = chance.choice([s for s in seeds if s.kind == kind])
        content = mutate(base.content, chance, chance.choice(seeds).content)
        if kind == "stream" and chance.random() < 0.5:
            content = repair_stream(content)  # else nothing behind the checksums is reached
        outcome = execute(kind, base.name, content, kit, number)
        tally = tallies[kind]
        tally.inputs += 1
        tally.codes[outcome.code] += 1
        if outcome.wrong:
            name = f"{kind}-{part.seed}-{number}-{base.name}"
            tally.findings.append((name, content, outcome.wrong, outcome.said))
    return tallies


def run_part(part: Part) -> dict[str, Tally]:
    """Run a part of a campaign in a process of its own."""
    with warm_workshop() as workshop:
        return fuzz(workshop, part)
