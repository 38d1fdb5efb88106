"""`make fuzz`: python -m tests.fuzz [--count 10000] [--seed 1] [--processes 2] [--keep FOLDER]."""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.campaign import SHARES, run_part


def main() -> int:
    """Run a campaign, print the table, keep the findings; return 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=main.__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", type=Path, default=Path("runs/fuzz"))
    given = parser.parse_args()
    began = time.monotonic()
    parts = [(given.count, given.seed, given.processes, n) for n in range(given.processes)]
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        results = pool.map(run_part, parts)
    found = 0
    print("| kind | inputs | read | refused | wrong |\n|---|---|---|---|---|")
    for kind in SHARES:
        tallies = [result[kind] for result in results]
        codes = sum((tally.codes for tally in tallies), Counter[int]())
        findings = [finding for tally in tallies for finding in tally.findings]
        refused = sum(codes[code] for code in (2, 3, 4, 5, 6, 7))
        print(f"| {kind} | {codes.total()} | {codes[0]} | {refused} | {len(findings)} |")
        found += len(findings)
        for name, content, wrong, said in findings:
            given.keep.mkdir(parents=True, exist_ok=True)
            (given.keep / name).write_bytes(content)
            (given.keep / f"{name}.txt").write_text(f"{wrong}\n{said}", "utf-8")
            print(f"{given.keep / name}: {wrong}")
    print(f"{found} of {given.count} inputs did wrong in {time.monotonic() - began:.0f} s")
    return int(found > 0)


if __name__ == "__main__":
    raise SystemExit(main())
