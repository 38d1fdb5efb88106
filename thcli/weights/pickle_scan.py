"""Bounds of a pickle, found by walking over its instructions without running them.

Pickle's own reader crashes the process on values nested too deeply, and reserves as much memory
as a few bytes of the file ask for. Instructions: the standard library's pickletools.
"""

from __future__ import annotations

import pickletools
import warnings
from typing import IO, Any

MAX_INSTRUCTIONS = 2_000_000  # the largest published checkpoints have some 100,000
MAX_NESTING = 400
MAX_INTEGER_BITS = 1024
_READS = ("GET", "BINGET", "LONG_BINGET")
_WRITES = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
_FILLS = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")

# Nesting of one value on the stack; a list, since later instructions fill a value that is also
# remembered elsewhere. None marks the start of a group.
_Value = list[int] | None


def scan_pickle(stream: IO[bytes], size: int) -> None:
    """Read one pickle up to its end, and leave the stream there.

    Args:
        stream: file at the pickle's start.
        size: bytes of the whole file.

    Raises:
        ValueError, LookupError: a bound is exceeded, or it is not a whole pickle.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of escapes in damaged strings
        _walk(stream, size)


def _walk(stream: IO[bytes], size: int) -> None:
    stack: list[_Value] = []
    memo: dict[int, _Value] = {}
    argument: Any
    for count, (code, argument, _) in enumerate(pickletools.genops(stream)):
        _check_argument(code, argument, count, size)
        if code.name in _READS:
            stack.append(memo[argument])
        elif code.name in _WRITES:
            memo[len(memo) if code.name == "MEMOIZE" else argument] = stack[-1]
        else:
            _step(code, stack)


def _check_argument(code: Any, argument: Any, count: int, size: int) -> None:
    if count > MAX_INSTRUCTIONS:
        raise ValueError(f"it has more than {MAX_INSTRUCTIONS} instructions")
    if isinstance(argument, int):
        if argument.bit_length() > MAX_INTEGER_BITS:
            raise ValueError(f"it has a number of {argument.bit_length()} bits")
        if code.name in _WRITES and not 0 <= argument <= 2 * count + 64:
            raise ValueError(f"it stores a value under the number {argument}")
        if code.name == "FRAME" and argument > size:
            raise ValueError(f"it announces {argument} bytes")


def _step(code: Any, stack: list[_Value]) -> None:
    """Apply an instruction to the stack of nestings."""
    taken: list[list[int]] = []
    needs = code.stack_before
    if pickletools.markobject in needs:
        while (value := stack.pop()) is not None:
            taken.append(value)
        needs = needs[: needs.index(pickletools.markobject)]
    for _ in needs:
        if (value := stack.pop()) is not None:
            taken.append(value)
    if code.name in _FILLS and taken:
        filled = taken.pop()  # the value beneath the others
        filled[0] = max([filled[0], *(value[0] + 1 for value in taken)])
        _require_nesting(filled)
        stack.append(filled)
        return
    depth = [1 + max((value[0] for value in taken), default=0)]
    _require_nesting(depth)
    stack.extend(None if after is pickletools.markobject else depth for after in code.stack_after)


def _require_nesting(value: list[int]) -> None:
    if value[0] > MAX_NESTING:
        raise ValueError(f"its values are nested more than {MAX_NESTING} deep")
