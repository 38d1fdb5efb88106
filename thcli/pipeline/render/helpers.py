"""Rendering of pass 2 that helpers (`job.helper`) share.

They start before pass 1, get ready beside it, and one of them takes a part in it
(`observe.tracking`). This process renders, too, at first alone.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeVar

from thcli.core.options import RunOptions
from thcli.core.protocols import PortableEngine, PortableRenderer
from thcli.core.types import Frame, Image, Motion
from thcli.pipeline.job.helper import CallFailedError, Helper, HelperError, HelperLostError
from thcli.pipeline.job.job import Job
from thcli.pipeline.render.frames import Renderer

MOST = 3  # helpers: more would wait for pass 1, and for the frames that one process encodes
LEAST_FRAMES = 100  # that are worth the second in which a helper starts
# Pixels of a frame: above the first threads wait less for one another, and a helper takes 500 MB,
# so that one alone is started; above the second none
LARGE_PIXELS, MOST_PIXELS = 1920 * 1080, 4096 * 2304

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
    few or an unknown number of frames, and for large ones, with more than two threads.

    Args:
        engine: renders the windows.
        job: ends the helpers with itself, and warns of one that ends before.
        run: threads of the job; one of them stays in this process.
        frames: number of frames of pass 2.
        size: (width, height) of a frame in pixels.
    """
    count = min(run.workers - 1, MOST)
    most_pixels = MOST_PIXELS if count == 1 else LARGE_PIXELS
    suits = (frames or 0) >= LEAST_FRAMES and size[0] * size[1] <= most_pixels
    if not isinstance(engine, PortableEngine) or count < 1 or not suits or not _allowed.get():
        return engine
    return job.enter(_shared(engine.renderer, count, job))


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
        images: list[Image] | None = None
        if helper is not None:
            try:
                with suppress(CallFailedError):  # rendered here, which raises the error
                    images = helper.call(self._renderer, method, *more, kept=(source,))
                self._free.put(helper)
            except HelperLostError:
                self._lose(helper)
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
            helper.call(self._renderer, "begin_process")
        except HelperError:
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
def _shared(renderer: PortableRenderer, count: int, job: Job) -> Iterator[SharedRenderer]:
    helpers = []
    try:
        for _ in range(count):
            helpers.append(Helper())
    except OSError as error:  # a limit of the system
        job.warn(f"Processes that help to render cannot be started: {error}.")
    shared = SharedRenderer(renderer, helpers, job.warn)
    job.helpers = helpers
    try:
        yield shared
    finally:
        job.helpers = ()
        shared.end()
