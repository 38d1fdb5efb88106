"""Temporary files of pass 1, removed with their context even after an error."""

from __future__ import annotations

import pytest

from thcli.pipeline.job.temp_storage import TemporaryFiles


def test_files_go_with_their_context() -> None:
    storage = TemporaryFiles("one", "two")
    with pytest.raises(KeyError), storage:
        for i, file in enumerate(storage._files):
            file.write(bytes([i]))
            file.seek(0)
            assert file.read() == bytes([i])
        raise KeyError
    assert all(file.closed for file in storage._files)
