"""The cache: bundled files, states of files, verify, remove, the user's folder, locks."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.weights.fake_site import entry, store
from thcli import weights
from thcli.core.errors import UsageError, WeightsError
from thcli.core.events import Event, Warned
from thcli.core.file_lock import file_lock
from thcli.weights import store as store_module

DATA = b"weights" * 100
SHA = hashlib.sha256(DATA).hexdigest()


def test_bundled_weights_are_used_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "bundled").mkdir()
    (tmp_path / "bundled" / "b.dat").write_bytes(DATA)
    cache = store(tmp_path, entry("b", sha256=SHA, sources=["bundled:b.dat"]))
    assert weights.locate("b", offline=True, store=cache) == tmp_path / "bundled" / "b.dat"
    for refused in (
        lambda: weights.remove("b", store=cache),
        lambda: weights.import_file("b", tmp_path, store=cache),
    ):
        with pytest.raises(UsageError, match="is part of thcli"):
            refused()
    (tmp_path / "bundled" / "b.dat").write_bytes(DATA + b"!")
    with pytest.raises(WeightsError, match=f"expected {SHA}"):
        weights.locate("b", store=cache)


def test_an_own_file_takes_the_place_of_a_bundled_one_until_it_is_removed(tmp_path: Path) -> None:
    """Such a file is the output of `thcli train` for a bundled model."""
    (tmp_path / "bundled").mkdir()
    carried = tmp_path / "bundled" / "b.dat"
    carried.write_bytes(DATA)
    cache = store(tmp_path, entry("b", sha256=SHA, sources=["bundled:b.dat"]))
    (tmp_path / "mine").write_bytes(DATA[::-1])
    own = weights.import_file("b", tmp_path / "mine", trust=True, store=cache)
    assert own != carried and weights.locate("b", offline=True, store=cache) == own
    assert own.read_bytes() == DATA[::-1] and carried.read_bytes() == DATA
    assert weights.remove("b", store=cache)
    assert weights.locate("b", offline=True, store=cache) == carried
    weights.import_file("b", tmp_path / "mine", trust=True, store=cache)
    weights.import_file("b", carried, trust=True, store=cache)  # the published one again
    assert weights.locate("b", offline=True, store=cache).read_bytes() == DATA


def test_a_changed_file_is_noticed_by_locate_and_verify(tmp_path: Path) -> None:
    cache = store(tmp_path, entry("a", sha256=SHA, sources=["https://example.org/a"]))
    (tmp_path / "mine").write_bytes(DATA)
    path = weights.import_file("a", tmp_path / "mine", store=cache)
    assert weights.is_ready("a", store=cache) and weights.cached_path("a", store=cache) == path
    path.write_bytes(DATA[::-1])
    with pytest.raises(
        WeightsError, match=r"has been altered: sha256 is \w{64}, expected"
    ) as error:
        weights.locate("a", store=cache)
    assert error.value.hint.endswith("thcli weights remove a && thcli weights pull a")
    assert [(c.entry.name, c.status) for c in weights.verify(store=cache)] == [("a", "altered")]
    assert weights.remove("a", store=cache) and not weights.remove("a", store=cache)
    assert weights.verify(store=cache) == []
    assert weights.cached_path("a", store=cache) is None


def test_other_bytes_of_the_same_size_and_time_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = store(tmp_path, entry("a", sha256=SHA))
    (tmp_path / "mine").write_bytes(DATA)
    path = weights.import_file("a", tmp_path / "mine", store=cache)
    times = path.stat()
    path.write_bytes(DATA[::-1])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(WeightsError, match="has been altered"):
        weights.locate("a", store=cache)
    monkeypatch.setattr(store_module, "HASHED_BYTES", 0)
    assert weights.is_ready("a", store=cache)  # a large file: taken as checked
    assert weights.verify(["a"], store=cache)[0].status == "altered"


def test_a_file_put_there_by_hand_needs_trust(tmp_path: Path) -> None:
    row = entry("a", sources=["https://example.org/a"])
    cache = store(tmp_path, row)
    cache.folder(row).mkdir(parents=True)
    (cache.folder(row) / "a.dat").write_bytes(DATA)
    with pytest.raises(WeightsError, match="has no known hash") as error:
        weights.locate("a", store=cache)
    assert error.value.hint.endswith("thcli weights verify a --trust")
    assert weights.verify(["a"], store=cache)[0].status == "unverified"
    assert weights.verify(["a"], trust=True, store=cache)[0].status == "ready"
    assert (
        weights.locate("a", store=cache).name == "a.dat" and cache.trusted()["a"]["sha256"] == SHA
    )


def test_what_needs_a_login_says_how(tmp_path: Path) -> None:
    cache = store(tmp_path, entry("flame", about="Register at https://example.org."))
    for call in (
        lambda: weights.locate("flame", store=cache),
        lambda: weights.pull(["flame"], store=cache),
    ):
        with pytest.raises(WeightsError, match=r"Register at https://example\.org") as error:
            call()
        assert error.value.hint == "When you have it: thcli weights import flame FILE --trust"


def test_restricted_licences_are_told_when_a_file_is_missing(tmp_path: Path) -> None:
    cache = store(
        tmp_path,
        entry(
            "a", commercial=False, licence="CC BY-NC 4.0", sha256=SHA, sources=["https://e.org/a"]
        ),
    )
    with pytest.raises(WeightsError, match=r"CC BY-NC 4\.0: read its terms") as error:
        weights.locate("a", store=cache)
    assert error.value.hint == "Get them: thcli weights pull a" and error.value.exit_code == 5


def test_the_user_chooses_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "mine"))
    assert weights.cache_folder() == tmp_path / "mine"
    assert weights.cached_path("fomm-vox-adv") is None
    with pytest.raises(WeightsError, match="thcli weights pull fomm-vox-adv"):
        weights.locate("fomm-vox-adv")
    monkeypatch.delenv("THCLI_WEIGHTS")
    assert weights.cache_folder().name == "weights"


def test_imports_of_nothing_and_of_folders_are_refused(tmp_path: Path) -> None:
    cache = store(tmp_path, entry("a", sha256=SHA))
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(WeightsError, match="cannot be read") as error:
            weights.import_file("a", path, store=cache)
        assert error.value.hint == "Give an existing file: thcli weights import a FILE"


def test_a_broken_record_of_trust_is_not_overwritten(tmp_path: Path) -> None:
    cache = store(tmp_path, entry("a", sha256=SHA))
    cache.root.mkdir()
    (cache.root / "trusted.json").write_text("{")
    with pytest.raises(WeightsError, match=r"trusted\.json cannot be read"):
        weights.locate("a", store=cache)


def _hold(path: str, ready: multiprocessing.synchronize.Event) -> None:
    with file_lock(Path(path), "x"):
        ready.set()
        time.sleep(0.3)


def test_a_lock_waits_for_another_process_and_says_so(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    other = spawn.Process(target=_hold, args=(str(tmp_path / "l" / "x.lock"), ready))
    other.start()
    assert ready.wait(20)
    events: list[Event] = []
    began = time.monotonic()
    with file_lock(tmp_path / "l" / "x.lock", "x", events.append):
        assert time.monotonic() - began > 0.1
    other.join()
    assert events == [Warned("Another process is working on x: waiting for it.")]


def test_a_lookup_imports_neither_torch_nor_numpy_nor_httpx() -> None:
    code = (
        "import sys; from thcli import weights; weights.registry(); weights.is_ready('selfie');"
        "heavy = ('torch', 'numpy', 'httpx', 'urllib.request', 'zipfile', 'subprocess');"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
