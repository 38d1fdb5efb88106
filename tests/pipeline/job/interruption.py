"""Interruption of a job, as Ctrl-C does it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pytest


@contextmanager
def interrupted_behind(count: int, owner: type, method: str) -> Iterator[None]:
    """End the iterations that a method of a class returns with KeyboardInterrupt.

    Args:
        count: items before it.
        owner: the class.
        method: its name.
    """
    original = getattr(owner, method)

    def interrupted(*args: Any) -> Iterator[Any]:
        yield from islice(original(*args), count)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, method, interrupted)
        yield
