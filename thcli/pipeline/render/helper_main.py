"""Main program of a helper, see `helpers`: renders windows that it reads from standard input.

First comes the renderer, answered with True. Each order after it is `(method, key, new, more)`: a
method of the renderer, the key of its source, {key: source} where that is new, and the other
arguments. It is answered with the images, or with None where rendering raises an exception:
the process that asked renders the window itself then, which raises it there. The helper ends with
its input.
"""

from __future__ import annotations

import os
import pickle
from typing import Any, BinaryIO

from thcli.core.protocols import PortableRenderer
from thcli.core.types import Image


def serve(orders: BinaryIO, answers: BinaryIO) -> None:
    """Answer orders up to the end of their stream."""
    renderer: PortableRenderer = pickle.load(orders)
    renderer.begin_process()
    _answer(answers, True)
    sources: dict[int, Any] = {}
    while True:
        try:
            method, key, new, more = pickle.load(orders)
        except EOFError:
            return
        sources |= new
        images: list[Image] | None
        try:
            images = getattr(renderer, method)(sources[key], *more)
        except Exception:  # noqa: BLE001  - not swallowed: it is raised where the window came from
            images = None
        _answer(answers, images)


def _answer(answers: BinaryIO, answer: Any) -> None:
    pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
    answers.flush()


def main() -> None:
    """Serve on standard input and output; what a library prints must not reach the answers."""
    with os.fdopen(os.dup(0), "rb") as orders, os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        serve(orders, answers)


if __name__ == "__main__":
    main()
