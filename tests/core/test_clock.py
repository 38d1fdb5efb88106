"""Stage clock: sums, nesting, threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from thcli.core.clock import StageClock


def use_cpu(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_sleep_counts_as_wall_time_alone() -> None:
    clock = StageClock()
    with clock("wait", frames=3):
        time.sleep(0.05)
    stage = clock.stages()["wait"]
    assert stage.wall >= 0.049
    assert stage.cpu < 0.04
    assert (stage.calls, stage.frames) == (1, 3)


def test_nested_time_belongs_to_the_inner_stage() -> None:
    clock = StageClock()
    with clock("outer"), clock("inner"):
        use_cpu(0.03)
    stages = clock.stages()
    assert stages["inner"].cpu >= 0.03
    assert stages["outer"].cpu < 0.01


def test_threads_add_up() -> None:
    clock = StageClock()

    def work() -> None:
        for _ in range(200):
            with clock("work", frames=2):
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.stages()["work"].calls == 800
    assert clock.stages()["work"].frames == 1600


def test_time_each_measures_the_iterable_and_not_its_consumer() -> None:
    clock = StageClock()

    def slow() -> Iterator[int]:
        for i in range(3):
            use_cpu(0.01)
            yield i

    seen = []
    for i in clock.time_each("decode", slow()):
        seen.append(i)
        use_cpu(0.02)
    assert seen == [0, 1, 2]
    stage = clock.stages()["decode"]
    assert stage.frames == 3
    assert 0.03 <= stage.cpu < 0.055


def test_a_block_that_raises_is_counted() -> None:
    clock = StageClock()
    with pytest.raises(KeyError), clock("a"):
        raise KeyError
    with clock("b"):
        use_cpu(0.01)
    assert clock.stages()["a"].calls == 1
    assert clock.stages()["b"].cpu >= 0.01
