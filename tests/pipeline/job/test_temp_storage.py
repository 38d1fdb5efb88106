"""Files of pass 1: several of them, gone with their context even when it fails."""

from __future__ import annotations

import pytest

from thcli.pipeline.job.temp_storage import Spool


def test_files_go_with_their_context() -> None:
    spool = Spool("one", "two")
    with pytest.raises(KeyError), spool:
        for i, file in enumerate(spool._files):
            file.write(bytes([i]))
            file.seek(0)
            assert file.read() == bytes([i])
        raise KeyError
    assert all(file.closed for file in spool._files)
