"""What pass 1 keeps on disk: files without a name that go with their context."""

from __future__ import annotations

import tempfile
from types import TracebackType
from typing import Self


class Spool:
    """A context manager that owns a nameless file for each of `names`; nothing is left behind."""

    def __init__(self, *names: str) -> None:
        self._files = [tempfile.TemporaryFile(prefix=f"thcli-{name}-") for name in names]  # noqa: SIM115 - closed in __exit__
        self._file = self._files[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._files:
            file.close()
