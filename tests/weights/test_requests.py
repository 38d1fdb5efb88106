"""Requests of downloads: redirects, logins, confirmation pages, proxies, and hosts that fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.weights.fake_site import BLOB, SHA, FakeSite, answer, entry, serve, store, transport
from thcli import weights
from thcli.core.errors import WeightsError
from thcli.weights.addresses import resolve_source
from thcli.weights.download import DownloadTarget, download
from thcli.weights.requests import HttpSettings, RemoteFile


def test_redirects_keep_a_token_to_its_own_host(site: FakeSite, tmp_path: Path) -> None:
    with serve() as other:
        other.blobs["/blob"] = BLOB
        site.scripted["/new/name/resolve/main/sub/f.bin"] = [
            answer(302, Location=f"{other.url}/blob")
        ]
        site.scripted["/old/name/resolve/main/sub/f.bin"] = [
            answer(307, Location="/new/name/resolve/main/sub/f.bin")
        ]
        cache = store(tmp_path, entry("a", sha256=SHA, sources=["hf:old/name/sub/f.bin@main"]))
        assert weights.pull(["a"], store=cache, transport=transport(site))["a"].read_bytes() == BLOB
        assert site.headers("Authorization") == ["Bearer secret"] * 2
        assert "Authorization" not in other.requests[0][1]


def test_a_login_is_asked_for_by_name(site: FakeSite, tmp_path: Path) -> None:
    site.scripted["/o/r/resolve/main/f"] = [answer(401)]
    cache = store(tmp_path, entry("a", sha256=SHA, sources=["hf:o/r/f@main"]))
    with pytest.raises(WeightsError, match="HTTP 401") as error:
        weights.pull(["a"], store=cache, transport=transport(site))
    assert "HF_TOKEN" in error.value.hint


def test_drive_asks_to_confirm_and_is_answered(site: FakeSite, tmp_path: Path) -> None:
    form = (
        '<form id="download-form" action="/really" method="get">'
        '<input type="hidden" name="id" value="I-1_x">'
        '<input type="hidden" name="confirm" value="t"><input type="submit"></form>'
    )
    site.scripted["/drive"] = [
        answer(
            200,
            f"<html><title>Virus scan</title>{form}".encode(),
            Content_Type="text/html; charset=utf-8",
        )
    ]
    site.blobs["/really"] = BLOB
    cache = store(tmp_path, entry("a", sha256=SHA, sources=["gdrive:I-1_x"]))
    assert weights.pull(["a"], store=cache, transport=transport(site))["a"].read_bytes() == BLOB
    assert site.paths() == ["/drive?id=I-1_x&export=download", "/really?id=I-1_x&confirm=t"]


def test_drive_over_its_quota_is_named(site: FakeSite, tmp_path: Path) -> None:
    site.scripted["/drive"] = [
        answer(200, b"<html><title>Quota exceeded</title>", Content_Type="text/html")
    ]
    cache = store(tmp_path, entry("a", sha256=SHA, sources=["gdrive:I1"]))
    with pytest.raises(WeightsError, match="quota") as error:
        weights.pull(["a"], store=cache, transport=transport(site))
    assert "browser" in error.value.hint


def test_small_drive_files_come_at_once(site: FakeSite, tmp_path: Path) -> None:
    site.blobs["/drive"] = BLOB
    cache = store(tmp_path, entry("a", sha256=SHA, sources=["gdrive:I1"]))
    assert weights.pull(["a"], store=cache, transport=transport(site))["a"].read_bytes() == BLOB


def test_the_proxy_of_the_environment_is_used(
    site: FakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", site.url)
    monkeypatch.setenv("no_proxy", "")
    site.blobs["http://weights.invalid/a"] = BLOB
    remote = RemoteFile("http://weights.invalid/a")
    download(remote, DownloadTarget(tmp_path / "a", "pull a"), transport(site).http)
    assert (tmp_path / "a").read_bytes() == BLOB


def test_the_environment_names_hub_and_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.invalid/")
    monkeypatch.setenv("HF_TOKEN", "t0")
    settings = HttpSettings.from_environment()
    remote = resolve_source("hf:o/r/a b.bin@v1", settings)
    assert remote.url == "https://mirror.invalid/o/r/resolve/v1/a%20b.bin"
    assert remote.secret_headers == {"Authorization": "Bearer t0"}
    assert "t0" not in repr((settings, remote))


def test_an_unreachable_host_is_named(tmp_path: Path, site: FakeSite) -> None:
    cache = store(tmp_path, entry("a", sha256=SHA, sources=["http://127.0.0.1:9/a"]))
    with pytest.raises(WeightsError, match=r"127\.0\.0\.1:9 cannot be reached") as error:
        weights.pull(["a"], store=cache, transport=transport(site))
    assert "https_proxy" in error.value.hint


@pytest.mark.parametrize(
    "name", ["ConnectError", "ReadError", "ReadTimeout", "RemoteProtocolError", "WriteError"]
)
def test_each_failure_of_the_connection_is_retried_and_then_named(
    name: str, site: FakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = 0

    def fail(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        nonlocal attempts
        attempts += 1
        raise getattr(httpx, name)("broken")

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", fail)
    cache = store(tmp_path, entry("a", sha256=SHA, sources=[f"{site.url}/a"]))
    with pytest.raises(WeightsError, match=r"cannot be reached: broken\."):
        weights.pull(["a"], store=cache, transport=transport(site))
    assert attempts == 3


def test_a_redirect_to_an_address_without_encryption_is_refused(
    site: FakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def redirect(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"Location": "http://weights.invalid/a"})

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", redirect)
    cache = store(tmp_path, entry("a", sha256=SHA, sources=["https://weights.invalid/a"]))
    with pytest.raises(WeightsError, match="redirects to an address without encryption"):
        weights.pull(["a"], store=cache, transport=transport(site))


def test_endless_redirects_are_not_retried(site: FakeSite, tmp_path: Path) -> None:
    site.scripted["/a"] = [answer(302, Location="/a") for _ in range(100)]
    cache = store(tmp_path, entry("a", sha256=SHA, sources=[f"{site.url}/a"]))
    with pytest.raises(WeightsError, match=r"cannot be reached: .*redirect"):
        weights.pull(["a"], store=cache, transport=transport(site))
    assert len(site.requests) < 30


def test_a_proxy_that_is_not_supported_is_named(
    site: FakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", "ftp://127.0.0.1:1")
    cache = store(tmp_path, entry("a", sha256=SHA, sources=[f"{site.url}/a"]))
    with pytest.raises(WeightsError, match="proxy of the environment") as error:
        weights.pull(["a"], store=cache, transport=transport(site))
    assert "https_proxy" in error.value.hint


def test_httpx_is_imported_by_a_download_only() -> None:
    code = (
        "import sys; from thcli import weights; import thcli.weights.sources;"
        "print([m for m in ('httpx', 'torch') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
