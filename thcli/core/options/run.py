"""Where a job computes, and what it shows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from thcli.core.options.base import option, require

Precision = Literal["auto", "fp32", "fp16", "bf16"]
Licence = Literal["any", "free"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where and how a job computes."""

    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps.")
    precision: Precision = option("auto", "Of networks: auto, fp32, fp16 or bf16.")
    batch_size: int = option(8, "Frames in a batch; results do not depend on it.")
    threads: int = option(0, "Of the compute stage; 0: one a core.")
    seed: int = option(0, "Of everything random; the same seed gives the same result.")
    offline: bool = option(False, "Never touch a network.")
    licence: Licence = option("any", "free: nothing whose weights are for research only.")

    def __post_init__(self) -> None:
        known = re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device)
        require(bool(known), "--device", "auto, cpu, cuda, cuda:N or mps", self.device)
        require(1 <= self.batch_size <= 1024, "--batch-size", "within 1..1024", self.batch_size)
        require(0 <= self.threads <= 1024, "--threads", "within 0..1024", self.threads)


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """What the command shows."""

    as_json: bool = option(
        False, "Print one JSON object on stdout; everything for people goes to stderr.", "--json"
    )
    quiet: bool = option(False, "Show nothing but errors.", "--quiet", "-q")
    debug: bool = option(False, "Show the traceback of a bug.")
