"""`make fuzz`: python -m tests.fuzz [--count 10000] [--seed 1] [--processes 2] [--keep FOLDER]."""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.campaign import SHARES, Part, Tally, run_part

LENGTH = 200  # inputs of a part; findings are kept and progress is printed after each


def main() -> int:
    """Run a campaign, print the table, keep the findings; return 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=main.__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", type=Path, default=Path("runs/fuzz"))
    given = parser.parse_args()
    began = time.monotonic()
    parts = [
        Part(given.seed, range(first, min(first + LENGTH, given.count)))
        for first in range(0, given.count, LENGTH)
    ]
    results: list[dict[str, Tally]] = []
    found = 0
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        for tallies in pool.imap(run_part, parts):
            results.append(tallies)
            found += sum(_keep(tally, given.keep) for tally in tallies.values())
            print_table(results)
            print(f"after {time.monotonic() - began:.0f} s\n", flush=True)
    return int(found > 0)


def print_table(results: list[dict[str, Tally]]) -> None:
    """Print inputs, exit codes and findings by kind, of all parts together."""
    print("| kind | inputs | read | refused | wrong |\n|---|---|---|---|---|")
    whole = [0, 0, 0, 0]
    for kind in SHARES:
        tallies = [result[kind] for result in results]
        codes = sum((tally.codes for tally in tallies), Counter[int]())
        refused = sum(codes[code] for code in (2, 3, 4, 5, 6, 7))
        wrong = sum(len(tally.findings) for tally in tallies)
        row = [codes.total(), codes[0], refused, wrong]
        whole = [a + b for a, b in zip(whole, row, strict=True)]
        print(f"| {kind} | {' | '.join(map(str, row))} |")
    print(f"| all | {' | '.join(map(str, whole))} |")


def _keep(tally: Tally, folder: Path) -> int:
    """Write the findings of a tally into a folder and return their number."""
    for name, content, wrong, said in tally.findings:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        (folder / f"{name}.txt").write_text(f"{wrong}\n{said}", "utf-8")
        print(f"{folder / name}: {wrong}")
    return len(tally.findings)


if __name__ == "__main__":
    raise SystemExit(main())
