"""Command `python -m tests.golden NAME --offset N --out FILE.npz`.

It writes the stages of a golden file from our networks, for any offset. Several names go into a
folder, and what they share is computed once.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from tests.golden import fill
from tests.golden.cases import CASES, OWN_CASES, run

parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
parser.add_argument("names", nargs="+", choices=sorted(CASES | OWN_CASES))
parser.add_argument(
    "--offset", type=int, default=0, help="shifts parameters and inputs (default 0)"
)
parser.add_argument("--out", type=Path, required=True, help="a file, or a folder for NAME.npz")
arguments = parser.parse_args()
for name in arguments.names:
    stages: dict[str, Any] = run(name, arguments.offset)
    out = arguments.out / f"{name}.npz" if arguments.out.is_dir() else arguments.out
    np.savez_compressed(out, **stages)
    fill.release_memory()
