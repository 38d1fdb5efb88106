"""Helpers: processes that render windows of pass 2 beside this one.

Threads that render share one interpreter, so that a second one gains next to nothing up to 1080p.
Helpers start before pass 1 and get ready beside it. This process renders, too, at first alone.
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import thcli
from thcli.core.options import RunOptions
from thcli.core.protocols import PortableEngine, PortableRenderer
from thcli.core.types import Frame, Image, Motion
from thcli.pipeline.job.job import Job
from thcli.pipeline.render.frames import Renderer

MAIN = "thcli.pipeline.render.helper_main"
MOST = 3  # helpers: more would wait for pass 1, and for the frames that one process encodes
LEAST_FRAMES = 100  # that are worth the second in which a helper starts
MOST_PIXELS = 1920 * 1080  # of a frame: above, threads do not wait for each other
_LOST = (OSError, EOFError, pickle.UnpicklingError)  # of a process that ended

E = TypeVar("E", bound=Renderer)
_allowed: ContextVar[bool] = ContextVar("helpers", default=True)


@contextmanager
def without_helpers() -> Iterator[None]:
    """Start no helpers in the block, whose jobs run beside others already."""
    token = _allowed.set(False)
    try:
        yield
    finally:
        _allowed.reset(token)


def share_rendering(
    engine: E, job: Job, run: RunOptions, frames: int | None, size: tuple[int, int]
) -> E | SharedRenderer:
    """Return a renderer that helpers share.

    It is the engine itself where that cannot leave this process, where one thread is asked for, for
    few or an unknown number of frames, and for large ones.

    Args:
        engine: renders the windows.
        job: ends the helpers with itself, and warns of one that ends before.
        run: threads of the job; one of them stays in this process.
        frames: number of frames of pass 2.
        size: (width, height) of a frame in pixels.
    """
    count = min(run.workers - 1, MOST)
    suits = (frames or 0) >= LEAST_FRAMES and size[0] * size[1] <= MOST_PIXELS
    if not isinstance(engine, PortableEngine) or count < 1 or not suits or not _allowed.get():
        return engine
    return job.enter(_shared(engine.renderer, count, job.warn))


class Helper:
    """A process that renders one window after the other.

    `prepare` and `render` raise OSError, EOFError or UnpicklingError when it has ended.
    """

    def __init__(self, renderer: PortableRenderer) -> None:
        """Start the process. Raises OSError."""
        self._renderer = renderer
        self._sources: dict[int, Any] = {}  # that it has, by their id
        folder, others = str(Path(thcli.__file__).parents[1]), os.environ.get("PYTHONPATH")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", MAIN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [folder, others]))},
            start_new_session=True,  # Ctrl-C reaches this process alone, which ends its helpers
        )

    def prepare(self) -> None:
        """Give the helper its renderer, and wait until it is ready."""
        self._ask(self._renderer)

    def render(self, method: str, source: Any, more: tuple[Any, ...]) -> list[Image] | None:
        """Call a method of the renderer; None where it raises an exception."""
        key = id(source)
        new = {} if key in self._sources else {key: source}
        self._sources |= new
        images: list[Image] | None = self._ask((method, key, new, more))
        return images

    def _ask(self, order: Any) -> Any:
        orders, answers = self._process.stdin, self._process.stdout
        assert orders is not None
        assert answers is not None
        pickle.dump(order, orders, pickle.HIGHEST_PROTOCOL)
        orders.flush()
        return pickle.load(answers)

    def kill(self) -> None:
        """End the process, and whatever waits for it."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Close the pipes of a killed process, for which nothing waits any more."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # the rest of an order
                pipe.close()


class SharedRenderer:
    """A renderer that this process and its helpers share: the first that is free renders."""

    parallel = True

    def __init__(
        self, renderer: PortableRenderer, helpers: Sequence[Helper], warn: Callable[[str], None]
    ) -> None:
        """Begin alone. warn: takes a sentence on a helper that ended."""
        self._renderer, self._helpers, self._warn = renderer, helpers, warn
        self._free: queue.SimpleQueue[Helper | None] = queue.SimpleQueue()  # None: this process
        self._free.put(None)
        self._ending = False
        self._threads = [
            threading.Thread(target=self._prepare, args=(helper,), daemon=True)
            for helper in helpers
        ]
        for thread in self._threads:
            thread.start()

    def render(self, source: Any, motion: Motion, frames: Sequence[Frame] | None) -> list[Image]:
        """Render a window, see `Engine.render`."""
        return self._share("render", source, (motion, frames))

    def render_frames(self, source: Any, images: Sequence[Image], motion: Motion) -> list[Image]:
        """Render frames of a source video, see `VideoSourceEngine.render_frames`."""
        return self._share("render_frames", source, (images, motion))

    def _share(self, method: str, source: Any, more: tuple[Any, ...]) -> list[Image]:
        helper = self._free.get()
        images = None
        if helper is not None:
            try:
                images = helper.render(method, source, more)
            except _LOST:
                self._lose(helper)
            else:
                self._free.put(helper)
        if images is not None:
            return images
        try:
            rendered: list[Image] = getattr(self._renderer, method)(source, *more)
            return rendered
        finally:
            if helper is None:
                self._free.put(None)

    def _prepare(self, helper: Helper) -> None:
        try:
            helper.prepare()
        except _LOST:
            self._lose(helper)
        else:
            self._free.put(helper)

    def _lose(self, helper: Helper) -> None:
        """Go on without a helper that ended."""
        helper.kill()
        if not self._ending:
            self._warn("A process that helped to render has ended: the others go on without it.")

    def end(self) -> None:
        """End the helpers; nothing renders any more."""
        self._ending = True
        for helper in self._helpers:
            helper.kill()
        for thread in self._threads:
            thread.join()
        for helper in self._helpers:
            helper.close()


@contextmanager
def _shared(
    renderer: PortableRenderer, count: int, warn: Callable[[str], None]
) -> Iterator[SharedRenderer]:
    helpers = []
    try:
        for _ in range(count):
            helpers.append(Helper(renderer))
    except OSError as error:  # a limit of the system
        warn(f"Processes that help to render cannot be started: {error}.")
    shared = SharedRenderer(renderer, helpers, warn)
    try:
        yield shared
    finally:
        shared.end()
