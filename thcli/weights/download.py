"""Downloads over HTTP by httpx: resumed, retried, limited in size, with progress events.

hf: addresses are HUB/REPO/resolve/REVISION/FILE; `huggingface_hub` would add nothing but this
format. gdrive: addresses may need the form of a confirmation page. Proxies come from the usual
variables (https_proxy, no_proxy). The received file is checked elsewhere, see install.py.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from thcli.core.byte_sizes import size_text
from thcli.core.errors import OutputError, WeightsError
from thcli.core.events import Event, Finished, Listener, Started, Step, Warned, silent
from thcli.weights.file_checks import describe_placeholder
from thcli.weights.store import cache_write_errors

if TYPE_CHECKING:
    import httpx

MAX_FILE_BYTES = 64 << 30  # of one file, where the registry knows no size
ERROR_PAGE_BYTES = 1 << 20  # a page that replaces a file may be this large: its text is reported
FREE_DISK_MARGIN = 64 << 20  # bytes that must stay free on the disk
_STEP_SECONDS = 0.1  # between two progress events
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_MAX_RETRY_AFTER = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Hosts and patience of downloads.

    hub, drive: addresses of Hugging Face and Google Drive.  token: of Hugging Face.
    attempts: for each address.  pause: seconds before the second attempt, doubled for each
    further one.  timeout: seconds without a byte.
    """

    hub: str = "https://huggingface.co"
    token: str = field(default="", repr=False)
    drive: str = "https://drive.usercontent.google.com/download"
    attempts: int = 5
    pause: float = 1.0
    timeout: float = 30.0

    @classmethod
    def from_environment(cls) -> HttpSettings:
        """Return settings with HF_ENDPOINT and HF_TOKEN, as Hugging Face's own tools read them."""
        return cls(
            hub=os.environ.get("HF_ENDPOINT", "").rstrip("/") or cls().hub,
            token=os.environ.get("HF_TOKEN", ""),
        )


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """An address to download. secret_headers: sent to this host only, never after a redirect."""

    url: str
    secret_headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True)
class DownloadTarget:
    """Destination of a download, and what is known of the file.

    partial: file that receives the bytes.  stage: name in events and messages.
    size: bytes expected, 0 where unknown.
    key: identifies the file across runs, so that only a part of the same file is continued.
    hash_known: the hash will be checked afterwards. Without that, a part is continued only where
        the server confirms (ETag or date) that the file is unchanged.
    """

    partial: Path
    stage: str
    size: int = 0
    key: str = ""
    hash_known: bool = False

    @property
    def limit(self) -> int:
        """Return the largest size in bytes that is accepted."""
        return max(self.size, ERROR_PAGE_BYTES) if self.size else MAX_FILE_BYTES

    @property
    def note(self) -> Path:
        """Return the file that says which file the part belongs to."""
        return self.partial.with_name(self.partial.name + ".json")


class _HttpStatusError(Exception):
    """An answer with an error status. retry_after: seconds as the server wrote them, or ""."""

    def __init__(self, status: int, reason: str, retry_after: str) -> None:
        super().__init__(f"HTTP {status} {reason}".rstrip())
        self.status, self.retry_after = status, retry_after


class _IncompleteError(Exception):
    """An answer that ended early or cannot continue the part."""


def _failures() -> tuple[type[Exception], ...]:
    """Return the exceptions of a failed attempt."""
    import httpx

    return (httpx.HTTPError, httpx.StreamError, _HttpStatusError, _IncompleteError)


@contextmanager
def _open(
    remote: RemoteFile, settings: HttpSettings, headers: Mapping[str, str]
) -> Iterator[httpx.Response]:
    """Send a GET request, follow redirects and yield the answer with its body unread.

    Raises:
        WeightsError: a redirect leaves encryption, or the proxy variables are not usable.
        _HttpStatusError: the answer is an error.
        httpx.HTTPError: the connection failed.
    """
    import httpx

    from thcli import __version__

    try:
        client = httpx.Client(
            follow_redirects=True,
            timeout=settings.timeout,
            verify=ssl.create_default_context(),  # the system's certificates, or SSL_CERT_FILE
            event_hooks={"request": [_downgrade_check()]},
        )
    except (ImportError, ValueError, httpx.InvalidURL) as exc:  # of the proxy variables
        raise WeightsError(
            f"The proxy of the environment cannot be used: {exc}",
            "Set https_proxy to http://HOST:PORT, and unset all_proxy.",
        ) from exc
    request_headers = {
        "User-Agent": f"thcli/{__version__}",
        "Accept-Encoding": "identity",  # the file's own bytes: they are hashed and resumed
        **headers,
        **remote.secret_headers,
    }
    try:
        with client, client.stream("GET", remote.url, headers=request_headers) as response:
            if response.status_code >= 400:
                retry_after = response.headers.get("Retry-After", "")
                raise _HttpStatusError(response.status_code, response.reason_phrase, retry_after)
            yield response
    except httpx.InvalidURL as exc:
        raise WeightsError(f"{remote.url} is not a valid address: {exc}.") from exc


def _downgrade_check() -> Callable[[httpx.Request], None]:
    """Return a hook that refuses a redirect from https to an address without encryption."""
    encrypted_host = ""

    def check(request: httpx.Request) -> None:
        nonlocal encrypted_host
        if request.url.scheme == "https":
            encrypted_host = request.url.host
        elif encrypted_host:
            raise WeightsError(
                f"{encrypted_host} redirects to an address without encryption ({request.url}): "
                "refused."
            )

    return check


def resolve_source(source: str, settings: HttpSettings) -> RemoteFile:
    """Return the address of a source: https://..., hf:REPO/FILE@REVISION or gdrive:ID.

    Raises:
        WeightsError: Google Drive shows a page that has no download form.
    """
    kind, _, rest = source.partition(":")
    if kind == "hf":
        name, _, revision = rest.rpartition("@")
        owner, repository, file = name.split("/", 2)
        url = f"{settings.hub}/{owner}/{repository}/resolve/{revision}/{quote(file)}"
        token = settings.token
        return RemoteFile(url, {"Authorization": f"Bearer {token}"} if token else {})
    if kind == "gdrive":
        return _resolve_drive(rest, settings)
    return RemoteFile(source)


class _DownloadForm(HTMLParser):
    """Action and hidden fields of the form on Drive's page "cannot be scanned for viruses"."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {k: v or "" for k, v in attrs}
        if tag == "form" and given.get("id") == "download-form":
            self.action = given.get("action", "")
        if tag == "input" and self.action and given.get("type") == "hidden":
            self.fields[given.get("name", "")] = given.get("value", "")


def _resolve_drive(file_id: str, settings: HttpSettings) -> RemoteFile:
    query = urlencode({"id": file_id, "export": "download"})
    first = RemoteFile(f"{settings.drive}?{query}")
    for attempt in range(settings.attempts):
        try:
            with _open(first, settings, {}) as response:
                if "text/html" not in response.headers.get("Content-Type", ""):
                    return first
                page = _read_page(response)
            break
        except _failures() as exc:
            _wait_or_raise(exc, first, attempt, settings, silent)
    form = _DownloadForm()
    form.feed(page)
    if not form.action:
        raise WeightsError(
            f"Google Drive shows a page instead of the file {file_id}: its quota is used up, or "
            "it is no longer shared.",
            f"Try again tomorrow, or download https://drive.google.com/file/d/{file_id} in a "
            "browser and import it.",
        )
    action = urljoin(first.url, form.action)
    return RemoteFile(f"{action}?{urlencode(form.fields)}")


def _read_page(response: httpx.Response) -> str:
    page = b""
    for block in response.iter_raw():
        page += block
        if len(page) >= ERROR_PAGE_BYTES:
            break
    return page.decode("utf-8", "replace")


def download(
    remote: RemoteFile, target: DownloadTarget, settings: HttpSettings, on: Listener = silent
) -> bool:
    """Download an address, continuing from the part that an earlier run left.

    Returns:
        True if an earlier part was continued.

    Raises:
        WeightsError: the server does not have the file, sends too much, or keeps failing.
        OutputError: the file does not fit on the disk, or cannot be written.
    """
    target.partial.parent.mkdir(parents=True, exist_ok=True)
    began, resumed, started = time.monotonic(), False, False

    def forward(event: Event) -> None:
        """Pass events on; only one Started for all attempts."""
        nonlocal started
        if not (started and isinstance(event, Started)):
            on(event)
        started |= isinstance(event, Started)

    for attempt in range(settings.attempts):
        try:
            resumed |= _receive(remote, target, settings, forward)
            break
        except _failures() as exc:
            _wait_or_raise(exc, remote, attempt, settings, on)
    target.note.unlink(missing_ok=True)
    on(Finished(target.stage, target.partial.stat().st_size, time.monotonic() - began))
    return resumed


def _receive(
    remote: RemoteFile, target: DownloadTarget, settings: HttpSettings, on: Listener
) -> bool:
    """Make one attempt. Returns True if a part was continued; raises what `_failures` lists."""
    partial, key = target.partial, target.key or remote.url
    have, headers = _range_request(target, key)
    if target.size and have == target.size:
        return True
    try:
        with _open(remote, settings, headers) as response:
            start = _accepted_start(response, have)
            if start is None:
                partial.unlink(missing_ok=True)
                raise _IncompleteError("the server sent another range than was requested")
            length = response.headers.get("Content-Length", "")
            total = start + int(length) if length.isdigit() else None
            _check_room(target, start, total)
            validator = response.headers.get("ETag") or response.headers.get("Last-Modified", "")
            with cache_write_errors(partial.parent):
                target.note.write_text(json.dumps({"key": key, "validator": validator}), "utf-8")
            on(Started(target.stage, total or target.size or None, "bytes"))
            _copy_body(response, target, start, total, on)
    except _HttpStatusError as exc:
        if exc.status == 416:  # the part is longer than the file, so it is another file's
            partial.unlink(missing_ok=True)
            raise _IncompleteError("the file is shorter than the part received before") from exc
        raise
    return start > 0


def _range_request(target: DownloadTarget, key: str) -> tuple[int, dict[str, str]]:
    """Return the bytes of this file that are there, and the headers that request the rest."""
    partial = target.partial
    have = partial.stat().st_size if partial.is_file() else 0
    note: dict[str, Any] = {}
    if have and target.note.is_file():
        try:
            note = json.loads(target.note.read_text("utf-8"))
        except ValueError:  # the note was cut off while it was written: start again
            note = {}
    if not have or note.get("key") != key or describe_placeholder(partial):
        return 0, {}
    validator = str(note.get("validator", ""))
    if validator and not validator.startswith("W/"):  # weak ones do not hold for ranges
        return have, {"Range": f"bytes={have}-", "If-Range": validator}
    return (have, {"Range": f"bytes={have}-"}) if target.hash_known else (0, {})


def _accepted_start(response: httpx.Response, have: int) -> int | None:
    """Return the offset of the answer's first byte: `have`, 0, or None for any other range."""
    if response.status_code != 206:
        return 0
    given = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return have if have and given.isdigit() and int(given) == have else None


def _check_room(target: DownloadTarget, start: int, total: int | None) -> None:
    """Raise WeightsError for a file that is too large, OutputError for a disk that is too full."""
    if total is not None and total > target.limit:
        expected = target.size or f"at most {MAX_FILE_BYTES}"
        raise WeightsError(f"{target.stage}: the server offers {total} bytes, expected {expected}.")
    need = (total or target.size or start) - start + FREE_DISK_MARGIN
    free = shutil.disk_usage(target.partial.parent).free
    if need > free:
        raise OutputError(
            f"{target.stage} needs {size_text(need)} in {target.partial.parent}, where "
            f"{size_text(free)} are free.",
            "Free some space, or set THCLI_WEIGHTS to a folder on another disk.",
        )


def _copy_body(
    response: httpx.Response, target: DownloadTarget, start: int, total: int | None, on: Listener
) -> None:
    """Append the answer's body to the part. Raises _IncompleteError when it ends early."""
    import httpx

    done, reported = start, 0.0
    with cache_write_errors(target.partial.parent):
        sink = target.partial.open("ab" if start else "wb", buffering=0)
    with sink:
        try:
            for block in response.iter_raw():
                with cache_write_errors(target.partial.parent):
                    sink.write(block)
                done += len(block)
                if done > target.limit:
                    raise WeightsError(
                        f"{target.stage}: the server sends more than the expected "
                        f"{target.limit} bytes."
                    )
                if time.monotonic() - reported > _STEP_SECONDS:
                    reported = time.monotonic()
                    on(Step(target.stage, done))
        except httpx.RemoteProtocolError as exc:
            raise _IncompleteError(
                f"the connection ended after {done} of {total or 'unknown'} bytes"
            ) from exc
    if total is not None and done < total:
        raise _IncompleteError(f"the connection ended after {done} of {total} bytes")


def _wait_or_raise(
    exc: Exception, remote: RemoteFile, attempt: int, settings: HttpSettings, on: Listener
) -> None:
    """Wait before the next attempt, or raise WeightsError when another one would not help."""
    import httpx

    hint = (
        "Check the connection (and https_proxy, where one is needed), then run it again: "
        "the download continues."
    )
    reason = (str(exc) or type(exc).__name__).rstrip(".")
    wait = settings.pause * 2**attempt
    if isinstance(exc, _HttpStatusError):
        if exc.status not in _TRANSIENT:
            path = urlsplit(remote.url).path
            raise WeightsError(
                f"{remote.host} refuses {path}: {reason}.", _status_hint(exc.status, hint)
            ) from exc
        if exc.retry_after.isdigit():
            wait = min(float(exc.retry_after), _MAX_RETRY_AFTER)
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        raise WeightsError(
            f"The certificate of {remote.host} cannot be verified.",
            "Set SSL_CERT_FILE to your certificates (on macOS run 'Install Certificates.command').",
        ) from exc
    hopeless = isinstance(exc, httpx.TooManyRedirects | httpx.UnsupportedProtocol)
    if attempt + 1 >= settings.attempts or hopeless:
        raise WeightsError(f"{remote.host} cannot be reached: {reason}.", hint) from exc
    on(Warned(f"{remote.host}: {reason}; trying again."))
    time.sleep(wait)


def _status_hint(status: int, otherwise: str) -> str:
    if status in (401, 403):
        return (
            "It may need a login: for Hugging Face set HF_TOKEN, or download it in a browser "
            "and use 'thcli weights import'."
        )
    if status in (404, 410):
        return "The file has moved: look for it elsewhere and use 'thcli weights import'."
    return otherwise
