"""Main program of a helper, see `helper`: calls methods of objects that it keeps.

Each order on standard input is `(new, target, method, kept, given)`: {key: object} to be kept from
now on, the key of the object whose method is called, the keys of kept arguments, and the others. It
is answered with `(True, result)`, or with `(False, None)` where the call raises an exception. The
helper ends with its input.
"""

from __future__ import annotations

import os
import pickle
from typing import Any, BinaryIO


def serve(orders: BinaryIO, answers: BinaryIO) -> None:
    """Answer orders up to the end of their stream."""
    objects: dict[int, Any] = {}
    while True:
        try:
            new, target, method, kept, given = pickle.load(orders)
        except EOFError:
            return
        objects |= new
        try:
            found = getattr(objects[target], method)(*(objects[key] for key in kept), *given)
            answer = True, found
        except Exception:  # noqa: BLE001  - not swallowed: who asked does the work, and raises it
            answer = False, None
        pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()


def main() -> None:
    """Serve on standard input and output; what a library prints must not reach the answers."""
    with os.fdopen(os.dup(0), "rb") as orders, os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        serve(orders, answers)


if __name__ == "__main__":
    main()
