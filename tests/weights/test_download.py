"""Downloads: received, continued, retried, refused and installed."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

import pytest

from tests.weights.fake_site import BLOB, SHA, FakeSite, answer, entry, store, transport
from thcli import weights
from thcli.core.errors import OutputError, WeightsError
from thcli.core.events import Event, Finished, Started, Step, Warned


def is_empty(root: Path) -> bool:
    return not [p for p in root.rglob("*") if p.is_file() and p.suffix != ".lock"]


def test_a_file_lands_with_events_and_is_not_fetched_twice(site: FakeSite, tmp_path: Path) -> None:
    site.blobs["/a"] = BLOB
    cache = store(tmp_path, entry("a", sha256=SHA, size=len(BLOB), sources=[f"{site.url}/a"]))
    events: list[Event] = []
    path = weights.pull(["a"], on=events.append, store=cache, transport=transport(site))["a"]
    assert path.read_bytes() == BLOB
    assert sorted(p.name for p in path.parent.iterdir()) == [".verified.json", "a.dat"]
    assert events[0] == Started("pull a", len(BLOB), "bytes")
    assert any(isinstance(e, Step) for e in events) and isinstance(events[-1], Finished)
    assert site.requests[0][1]["User-Agent"].startswith("thcli/")
    weights.pull(["a"], store=cache, transport=transport(site))
    assert len(site.requests) == 1
    assert weights.locate("a", store=cache) == path


def test_a_broken_connection_is_resumed_where_it_stopped(site: FakeSite, tmp_path: Path) -> None:
    site.blobs["/a"] = BLOB
    site.scripted["/a"] = [answer(200, BLOB[:300_000], Content_Length=str(len(BLOB)), ETag='"v1"')]
    cache = store(tmp_path, entry("a", sha256=SHA, sources=[f"{site.url}/a"]))
    events: list[Event] = []
    path = weights.pull(["a"], on=events.append, store=cache, transport=transport(site))["a"]
    assert path.read_bytes() == BLOB
    assert site.headers("Range") == [None, "bytes=300000-"]
    assert any(isinstance(e, Warned) and "300000 of 1048576" in e.message for e in events)
    assert sum(isinstance(e, Started) for e in events) == 1


def test_a_later_run_goes_on_and_a_changed_file_starts_anew(site: FakeSite, tmp_path: Path) -> None:
    one = entry("a", sha256=SHA, sources=[f"{site.url}/a"])
    cache = store(tmp_path, one)
    folder = cache.folder(one)
    folder.mkdir(parents=True)
    for validator, ranges in (('"v1"', ["bytes=500-"]), ('"old"', ["bytes=500-"])):
        site.requests.clear()
        site.blobs["/a"] = BLOB
        (folder / "a.dat.partial").write_bytes(BLOB[:500])
        note = {"key": f"{site.url}/a", "validator": validator}
        (folder / "a.dat.partial.json").write_text(json.dumps(note))
        assert weights.pull(["a"], store=cache, transport=transport(site))["a"].read_bytes() == BLOB
        assert site.headers("Range") == ranges
        weights.remove("a", store=cache)
        folder.mkdir()


def test_a_part_of_another_file_does_not_spoil_the_download(site: FakeSite, tmp_path: Path) -> None:
    one = entry("a", sha256=SHA, sources=[f"{site.url}/a"])
    cache = store(tmp_path, one)
    cache.folder(one).mkdir(parents=True)
    site.blobs["/a"] = BLOB
    (cache.folder(one) / "a.dat.partial").write_bytes(b"\1" * 700)
    note = {
        "key": f"{site.url}/a",
        "validator": '"v1"',
    }  # the same validator, and still other bytes
    (cache.folder(one) / "a.dat.partial.json").write_text(json.dumps(note))
    events: list[Event] = []
    assert (
        weights.pull(["a"], on=events.append, store=cache, transport=transport(site))[
            "a"
        ].read_bytes()
        == BLOB
    )
    assert site.headers("Range") == ["bytes=700-", None]
    assert any(isinstance(e, Warned) and "downloaded again" in e.message for e in events)


def test_without_hash_and_voucher_nothing_is_pieced_together(
    site: FakeSite, tmp_path: Path
) -> None:
    one = entry("a", sources=[f"{site.url}/a"])
    cache = store(tmp_path, one)
    cache.folder(one).mkdir(parents=True)
    site.blobs["/a"] = BLOB
    for validator, ranges in (('W/"v1"', [None]), ("", [None]), ('"v1"', ["bytes=700-"])):
        site.requests.clear()
        (cache.folder(one) / "a.dat.partial").write_bytes(BLOB[:700])
        note = {"key": f"{site.url}/a", "validator": validator}
        (cache.folder(one) / "a.dat.partial.json").write_text(json.dumps(note))
        weights.pull(["a"], trust=True, store=cache, transport=transport(site))["a"].unlink()
        assert site.headers("Range") == ranges
        cache.trust(one, None)


def test_a_part_longer_than_the_file_starts_anew(site: FakeSite, tmp_path: Path) -> None:
    one = entry("a", sha256=SHA, sources=[f"{site.url}/a"])
    cache = store(tmp_path, one)
    cache.folder(one).mkdir(parents=True)
    site.blobs["/a"] = BLOB
    (cache.folder(one) / "a.dat.partial").write_bytes(b"\1" * (len(BLOB) + 5))
    (cache.folder(one) / "a.dat.partial.json").write_text(
        json.dumps({"key": f"{site.url}/a", "validator": ""})
    )
    assert weights.pull(["a"], store=cache, transport=transport(site))["a"].read_bytes() == BLOB


def test_busy_servers_are_asked_again_and_missing_files_are_not(
    site: FakeSite, tmp_path: Path
) -> None:
    site.blobs["/a"] = BLOB
    site.scripted["/a"] = [answer(503, Retry_After="0"), answer(429)]
    cache = store(
        tmp_path,
        entry("a", sha256=SHA, sources=[f"{site.url}/a"]),
        entry("b", sha256=SHA, sources=[f"{site.url}/gone"]),
        entry("c", sha256=SHA, sources=[f"{site.url}/busy"]),
    )
    assert weights.pull(["a"], store=cache, transport=transport(site))["a"].read_bytes() == BLOB
    with pytest.raises(WeightsError, match=r"127\.0\.0\.1:\d+ refuses /gone: HTTP 404") as error:
        weights.pull(["b"], store=cache, transport=transport(site))
    assert "thcli weights import" in error.value.hint and site.paths().count("/gone") == 1
    site.scripted["/busy"] = [answer(500)] * 3
    with pytest.raises(WeightsError, match="cannot be reached: HTTP 500"):
        weights.pull(["c"], store=cache, transport=transport(site))
    assert site.paths().count("/busy") == 3


def test_the_next_source_helps_when_the_first_fails(site: FakeSite, tmp_path: Path) -> None:
    site.blobs["/good"], site.blobs["/bad"] = BLOB, b"something else"
    sources = [f"{site.url}/gone", f"{site.url}/bad", f"{site.url}/good"]
    cache = store(
        tmp_path,
        entry("a", sha256=SHA, sources=sources),
        entry("b", sha256=SHA, sources=sources[:2]),
    )
    assert weights.pull(["a"], store=cache, transport=transport(site))["a"].read_bytes() == BLOB
    with pytest.raises(WeightsError, match=r"any of its sources: .*HTTP 404.*hash is wrong"):
        weights.pull(["b"], store=cache, transport=transport(site))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 5\n",
            "a Git-LFS pointer",
        ),
        (
            b"\n<!DOCTYPE html><html><head><title>Sign &amp; in</title></head></html>",
            "an HTML page ('Sign & in'",
        ),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML error message"),
        (b"/annex/objects/MD5E-s5--12\n", "a git-annex pointer"),
        (
            b"something else",
            f"sha256 is {hashlib.sha256(b'something else').hexdigest()}, expected {SHA}",
        ),
    ],
)
def test_what_is_not_the_file_is_named_and_does_not_land(
    site: FakeSite, tmp_path: Path, body: bytes, said: str
) -> None:
    site.blobs["/a"] = body
    cache = store(
        tmp_path,
        entry("known", sha256=SHA, size=len(BLOB), sources=[f"{site.url}/a"]),
        entry("unknown", sources=[f"{site.url}/a"]),
    )
    with pytest.raises(WeightsError) as error:
        weights.pull(["known"], store=cache, transport=transport(site))
    assert said in error.value.message and error.value.exit_code == 5
    assert is_empty(cache.root)
    if b"something" not in body:  # not even trust takes a page for weights
        with pytest.raises(WeightsError, match="the file is"):
            weights.pull(["unknown"], trust=True, store=cache, transport=transport(site))
        assert is_empty(cache.root)


def test_a_file_of_another_size_is_refused_before_it_fills_the_disk(
    site: FakeSite, tmp_path: Path
) -> None:
    site.blobs["/a"] = BLOB * 3
    cache = store(tmp_path, entry("a", sha256=SHA, size=len(BLOB), sources=[f"{site.url}/a"]))
    with pytest.raises(WeightsError, match="offers 3145728 bytes, expected 1048576"):
        weights.pull(["a"], store=cache, transport=transport(site))


def test_a_full_disk_is_foreseen(site: FakeSite, tmp_path: Path) -> None:
    site.scripted["/a"] = [answer(200, b"", Content_Length=str(1 << 55))]
    cache = store(tmp_path, entry("a", sha256=SHA, size=1 << 56, sources=[f"{site.url}/a"]))
    with pytest.raises(OutputError, match=r"needs [\d.]+ GB in .*, where [\d.]+ [kMG]B are free"):
        weights.pull(["a"], store=cache, transport=transport(site))


def test_trust_records_the_hash_and_enforces_it_afterwards(site: FakeSite, tmp_path: Path) -> None:
    site.blobs["/a"] = BLOB
    cache = store(tmp_path, entry("a", sources=[f"{site.url}/a"]))
    with pytest.raises(WeightsError, match="no published hash") as error:
        weights.pull(["a"], store=cache, transport=transport(site))
    assert "--trust" in error.value.hint and not site.requests
    with pytest.raises(WeightsError) as absent:
        weights.locate("a", store=cache)
    assert absent.value.hint == "Get them: thcli weights pull a --trust"
    path = weights.pull(["a"], trust=True, store=cache, transport=transport(site))["a"]
    assert cache.trusted()["a"]["sha256"] == SHA
    path.unlink()
    site.blobs["/a"] = BLOB[::-1]
    with pytest.raises(WeightsError, match=f"expected {SHA}"):
        weights.pull(["a"], trust=True, store=cache, transport=transport(site))
    site.blobs["/a"] = BLOB
    assert weights.pull(["a"], store=cache, transport=transport(site))["a"] == path


def test_offline_asks_nobody(
    site: FakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.blobs["/a"] = BLOB
    cache = store(
        tmp_path, entry("a", sha256=SHA, size=len(BLOB), auto=True, sources=[f"{site.url}/a"])
    )
    for call in (
        lambda: weights.pull(["a"], offline=True, store=cache, transport=transport(site)),
        lambda: weights.locate("a", offline=True, store=cache),
    ):
        with pytest.raises(WeightsError, match="--offline") as error:
            call()
        assert error.value.hint.endswith("thcli weights pull a")
    monkeypatch.setenv("THCLI_OFFLINE", "1")
    with pytest.raises(WeightsError, match="--offline"):
        weights.locate("a", store=cache)
    monkeypatch.setenv("THCLI_OFFLINE", "0")
    assert not site.requests
    assert weights.locate("a", store=cache).read_bytes() == BLOB  # auto: fetched on first use


def test_two_at_once_fetch_once(site: FakeSite, tmp_path: Path) -> None:
    site.blobs["/a"] = BLOB
    cache = store(tmp_path, entry("a", sha256=SHA, sources=[f"{site.url}/a"]))
    got: list[Path] = []
    both = [
        threading.Thread(
            target=lambda: got.append(
                weights.pull(["a"], store=cache, transport=transport(site))["a"]
            )
        )
        for _ in range(4)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(got) == 4 and len(site.requests) == 1


def test_a_cache_that_cannot_be_written_is_an_output_error(site: FakeSite, tmp_path: Path) -> None:
    cache = store(tmp_path, entry("a", sha256=SHA, sources=[f"{site.url}/a"]))
    cache.root.write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="cannot be written") as error:
        weights.pull(["a"], store=cache, transport=transport(site))
    assert "THCLI_WEIGHTS" in error.value.hint
