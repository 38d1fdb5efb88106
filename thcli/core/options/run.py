"""Options of computation and console output."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal

from thcli.core.options.base import option, require, require_seed

Precision = Literal["auto", "fp32", "fp16", "bf16"]
Licence = Literal["any", "free"]
Progress = Literal["auto", "json"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Computation."""

    device: str = option("auto", "Device: auto, cpu, cuda, cuda:N or mps.")
    precision: Precision = option("auto", "Precision of networks; auto: fp16 on CUDA, else fp32.")
    batch_size: int = option(8, "Frames per batch, 1..1024; results do not depend on it.")
    threads: int = option(0, "Threads and processes that compute, up to 1024; 0: one per core.")
    seed: int = option(0, "Random seed, 0..4294967295; the same seed gives the same result.")
    offline: bool = option(False, "Do not access the internet.", affects_result=False)
    licence: Licence = option("any", "free: exclude weights that are licensed for research only.")

    def __post_init__(self) -> None:
        known = re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device)
        require(bool(known), "--device", "auto, cpu, cuda, cuda:N or mps", self.device)
        require(1 <= self.batch_size <= 1024, "--batch-size", "within 1..1024", self.batch_size)
        require(0 <= self.threads <= 1024, "--threads", "within 0..1024", self.threads)
        require_seed(self.seed)

    @property
    def workers(self) -> int:
        """Number of threads or processes for parallel work: --threads, else one per core."""
        return self.threads or os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class ViewerOptions:
    """Viewer."""

    open: bool = option(False, "Open the finished output in the program that shows its type.")


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """Console output."""

    as_json: bool = option(
        False, "Print one JSON object on stdout, and messages on stderr.", "--json"
    )
    quiet: bool = option(False, "Show only errors.", "--quiet", "-q")
    progress: Progress = option(
        "auto",
        "auto: a bar on a terminal, lines in a pipe; json: one JSON object per line on stderr.",
    )
    debug: bool = option(False, "Show the traceback of an error.")
