"""Simulation of a batch on a cluster: hours, cost, bottleneck, repeated work.

    python tools/simulate_cluster.py --hours 1000 --workers 64
    python tools/simulate_cluster.py --hours 1000 --workers 64 --seconds-a-frame 3.8 --clip 3600

Each worker takes the next piece (a clip, or a part of one with --split), reads it from shared
storage, and may be lost at any moment; a lost piece is done again up to its last segment of 48
frames. All assumptions are printed with the result.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

SEGMENT = 48  # frames that a lost worker repeats at most


@dataclass(frozen=True)
class Assumptions:
    """Assumptions of a simulation.

    hours: of video.  clip: seconds of a clip.  fps: frames per second.
    pass1, seconds_a_frame: processor seconds of a frame in pass 1 and in pass 2.
    decode: processor seconds to decode a frame; a part reads the clip from its start.
    start: seconds until a worker has its models.
    workers, cores: number of workers, and processors of each.
    core_hour: price of a processor for an hour.
    storage: megabytes per second that the shared storage gives in all.  bitrate: megabits per
    second of the clips.
    days_between_losses: mean time until a worker is lost.
    split: seconds of video in a part, 0 for whole clips.
    """

    hours: float = 1000.0
    clip: float = 60.0
    fps: float = 25.0
    pass1: float = 0.05
    seconds_a_frame: float = 0.014
    decode: float = 0.002
    start: float = 15.0
    workers: int = 64
    cores: float = 1.0
    core_hour: float = 0.04
    storage: float = 500.0
    bitrate: float = 5.0
    days_between_losses: float = 10.0
    split: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """Outcome of a simulation. wall, busy: hours.  repeated: share of the work done again."""

    wall: float
    busy: float
    cost: float
    losses: int
    repeated: float
    storage_share: float
    bottleneck: str


def simulate(a: Assumptions, seed: int = 0) -> Outcome:
    """Run all clips through the workers."""
    draw = random.Random(seed)
    pieces = _pieces(a)
    wall_floor = a.hours * 3600 * a.bitrate / 8 * 2 / a.storage  # read in both passes
    mean = a.days_between_losses * 86400
    free = [
        (a.start, draw.expovariate(1 / mean) if mean else float("inf")) for _ in range(a.workers)
    ]
    heapq.heapify(free)
    losses, again, busy, end = 0, 0.0, a.start * a.workers, 0.0
    while pieces:
        seconds, unit = pieces.pop()
        now, dies = heapq.heappop(free)
        if now + seconds > dies >= now:
            done = (dies - now) // unit * unit if unit else 0.0
            losses, again = losses + 1, again + (dies - now - done)
            busy += dies - now + a.start
            pieces.append((seconds - done, unit))
            fresh = dies + a.start
            heapq.heappush(free, (fresh, fresh + draw.expovariate(1 / mean)))
            continue
        busy += seconds
        end = max(end, now + seconds)
        later = dies if dies > now else now + draw.expovariate(1 / mean)
        heapq.heappush(free, (now + seconds, later))
    wall = max(end, wall_floor)
    share = wall_floor / end
    longest = max(seconds for seconds, _ in _pieces(a))
    cause = "workers"
    if wall_floor > end:
        cause = "storage"
    elif longest > end / 2:
        cause = "the longest clip: --split"
    cost = wall / 3600 * a.workers * a.cores * a.core_hour
    return Outcome(wall / 3600, busy / 3600, cost, losses, again / busy, share, cause)


def _pieces(a: Assumptions) -> list[tuple[float, float]]:
    """Return (seconds of work, seconds of a segment) of each piece, the longest last."""
    clips = max(round(a.hours * 3600 / a.clip), 1)
    unit = SEGMENT * a.seconds_a_frame / a.cores
    frames = a.clip * a.fps
    one = frames * a.pass1 / a.cores
    whole = frames * a.seconds_a_frame / a.cores
    parts = max(round(a.clip / a.split), 1) if a.split else 1
    if parts == 1:
        return [(one + whole, unit)] * clips
    skipped = frames / 2 * a.decode / a.cores  # on average
    return [(whole / parts + skipped, unit)] * (clips * parts) + [(one, 0.0)] * clips


def main(argv: Sequence[str] | None = None) -> int:
    """Print the assumptions and the outcome."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for field in fields(Assumptions):
        kind = int if field.name == "workers" else float
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, type=kind, default=field.default, dest=field.name)
    given = Assumptions(**vars(parser.parse_args(argv)))
    assumed = ", ".join(f"{key} {value:g}" for key, value in asdict(given).items())
    sys.stdout.write(f"assumed: {assumed}\n")
    found = simulate(given)
    sys.stdout.write(
        f"{found.wall:.1f} h on {given.workers} workers, {found.busy:.0f} worker hours\n"
    )
    sys.stdout.write(f"cost {found.cost:.0f}; limited by {found.bottleneck}\n")
    sys.stdout.write(f"storage used {found.storage_share:.0%} of the time\n")
    sys.stdout.write(f"{found.losses} workers lost, {found.repeated:.3%} of the work repeated\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
