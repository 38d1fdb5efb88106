"""Command `python -m tests.golden NAME --offset N --out FILE.npz`.

It writes the stages of a golden file from our networks, for any offset.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from tests.golden.cases import CASES, run

parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
parser.add_argument("name", choices=sorted(CASES))
parser.add_argument(
    "--offset", type=int, default=0, help="shifts parameters and inputs (default 0)"
)
parser.add_argument("--out", type=Path, required=True)
arguments = parser.parse_args()
stages: dict[str, Any] = run(arguments.name, arguments.offset)
np.savez_compressed(arguments.out, **stages)
