"""Downloads over HTTP: resumed, retried, with progress; the addresses of Hugging Face and Google Drive.

Proxies come from the usual variables (https_proxy, no_proxy). Nothing here judges what was received: see landing.py.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import IO, Any

from thcli.core.errors import OutputError, WeightsError
from thcli.core.events import Event, Finished, Listener, Started, Step, Warned, silent
from thcli.weights.file_checks import impostor
from thcli.weights.store import writing

LARGEST = 64 << 30  # bytes of one file, where the registry knows no size
SPARE = 64 << 20  # bytes that must stay free on the disk
_BLOCK = 1 << 18
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Net:
    """attempts: per address.  pause: seconds before the second, doubled each time.  timeout: seconds without a byte."""

    hub: str = "https://huggingface.co"
    token: str = field(default="", repr=False)
    drive: str = "https://drive.usercontent.google.com/download"
    attempts: int = 5
    pause: float = 1.0
    timeout: float = 30.0

    @classmethod
    def from_environment(cls) -> Net:
        """HF_ENDPOINT and HF_TOKEN, as Hugging Face's own tools read them."""
        return cls(
            hub=os.environ.get("HF_ENDPOINT", "").rstrip("/") or cls().hub,
            token=os.environ.get("HF_TOKEN", ""),
        )


@dataclass(frozen=True, slots=True)
class Address:
    """What to ask for. secret: headers that are sent to this very host only, never to where it redirects."""

    url: str
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if old.scheme == "https" and new.scheme != "https":
            raise WeightsError(
                f"{old.netloc} redirects to an address without encryption ({newurl}): refused."
            )
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and old.netloc == new.netloc:
            for name, value in req.unredirected_hdrs.items():
                if name.lower() == "authorization":
                    request.add_unredirected_header(name, value)
        return request


def _open(place: Address, net: Net, headers: Mapping[str, str]) -> http.client.HTTPResponse:
    from thcli import __version__

    request = urllib.request.Request(
        place.url, headers={"User-Agent": f"thcli/{__version__}", **headers}
    )
    for name, value in place.secret.items():
        request.add_unredirected_header(name, value)
    response = urllib.request.build_opener(_Redirects).open(request, timeout=net.timeout)
    return response  # type: ignore[no-any-return]  # OpenerDirector.open is untyped


def address(source: str, net: Net) -> Address:
    """Where a source's bytes are: https://…, hf:REPO/FILE@REV or gdrive:ID. Raises WeightsError when Drive shows no file."""
    kind, _, rest = source.partition(":")
    if kind == "hf":
        name, _, revision = rest.rpartition("@")
        owner, repository, file = name.split("/", 2)
        url = f"{net.hub}/{owner}/{repository}/resolve/{revision}/{urllib.parse.quote(file)}"
        return Address(url, {"Authorization": f"Bearer {net.token}"} if net.token else {})
    if kind == "gdrive":
        return _drive(rest, net)
    return Address(source)


class _Form(HTMLParser):
    """The download form of Drive's "cannot be scanned for viruses" page: its action and its fields."""

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


def _drive(identity: str, net: Net) -> Address:
    query = urllib.parse.urlencode({"id": identity, "export": "download"})
    first = Address(f"{net.drive}?{query}")
    for attempt in range(net.attempts):
        try:
            with _open(first, net, {}) as response:
                if "text/html" not in response.headers.get("Content-Type", ""):
                    return first
                page = response.read(1 << 20).decode("utf-8", "replace")
            break
        except (OSError, http.client.HTTPException) as exc:
            _again(exc, first, attempt, net, silent)
    form = _Form()
    form.feed(page)
    if not form.action:
        raise WeightsError(
            f"Google Drive shows a page in place of the file {identity}: its quota is used up, or it is no longer shared.",
            f"Try again tomorrow, or fetch https://drive.google.com/file/d/{identity} in a browser and import it.",
        )
    target = urllib.parse.urljoin(first.url, form.action)
    return Address(f"{target}?{urllib.parse.urlencode(form.fields)}")


def download(
    place: Address,
    partial: Path,
    *,
    stage: str,
    size: int = 0,
    key: str = "",
    known: bool = False,
    net: Net,
    on: Listener = silent,
) -> bool:
    """Receives an address into `partial`, going on from what is there; True when it did go on from an earlier part.

    size: bytes expected, 0 unknown.  key: what names the file across sessions, so that only a part of the same one is resumed.
    known: the file's hash will be checked; without that, only a server that vouches for the part (ETag, date) is asked to go on.
    Raises WeightsError when the server has it not or keeps failing, OutputError when it does not fit on the disk.
    """
    partial.parent.mkdir(parents=True, exist_ok=True)
    began, resumed, started = time.monotonic(), False, False

    def tell(event: Event) -> None:
        """One Started only, however many attempts it takes."""
        nonlocal started
        if not (started and isinstance(event, Started)):
            on(event)
        started |= isinstance(event, Started)

    for attempt in range(net.attempts):
        try:
            resumed |= _receive(place, partial, stage, size, key or place.url, known, net, tell)
            break
        except (OSError, http.client.HTTPException) as exc:
            _again(exc, place, attempt, net, on)
    _note(partial).unlink(missing_ok=True)
    on(Finished(stage, partial.stat().st_size, time.monotonic() - began))
    return resumed


def _note(partial: Path) -> Path:
    return partial.with_name(partial.name + ".json")


def _receive(
    place: Address,
    partial: Path,
    stage: str,
    size: int,
    key: str,
    known: bool,
    net: Net,
    on: Listener,
) -> bool:
    """One attempt. Raises whatever urllib raises, and ConnectionError for an answer that ended early."""
    have, headers = _begin(partial, key, known)
    if size and have == size:
        return True
    try:
        response = _open(place, net, headers)
    except urllib.error.HTTPError as exc:
        if exc.code == 416:  # the part is longer than the file: another file
            partial.unlink(missing_ok=True)
            raise ConnectionError("the server has less than was received before") from exc
        raise
    with response:
        start = have if response.status == 206 and _range_start(response) == have else 0
        if response.status == 206 and not start:
            partial.unlink(missing_ok=True)
            raise ConnectionError("the server sent another part than was asked for")
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdigit() else None
        _make_room(partial, stage, start, total, size)
        validator = response.headers.get("ETag", "") or response.headers.get("Last-Modified", "")
        with writing(partial.parent):
            _note(partial).write_text(json.dumps({"key": key, "validator": validator}), "utf-8")
        on(Started(stage, total or size or None, "bytes"))
        done = start + _copy(response, partial, start, stage, size, on)
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended after {done} of {total} bytes")
    return start > 0


def _begin(partial: Path, key: str, known: bool) -> tuple[int, dict[str, str]]:
    """How much of this very file is there, and the headers that ask for the rest."""
    have = partial.stat().st_size if partial.is_file() else 0
    note: dict[str, Any] = {}
    if have and _note(partial).is_file():
        try:
            note = json.loads(_note(partial).read_text("utf-8"))
        except ValueError:  # cut off when it was written: start anew
            note = {}
    if not have or note.get("key") != key or impostor(partial):
        return 0, {}
    validator = str(note.get("validator", ""))
    if validator and not validator.startswith("W/"):  # a weak one may not be used with a range
        return have, {"Range": f"bytes={have}-", "If-Range": validator}
    return (have, {"Range": f"bytes={have}-"}) if known else (0, {})


def _range_start(response: http.client.HTTPResponse) -> int:
    given = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(given) if given.isdigit() else -1


def _make_room(partial: Path, stage: str, start: int, total: int | None, size: int) -> None:
    if total is not None and total > (
        max(size, 1 << 20) if size else LARGEST
    ):  # up to 1 MiB: a page that names the trouble
        raise WeightsError(
            f"{stage}: the server offers {total} bytes, expected {size or f'at most {LARGEST}'}."
        )
    need = (total or size or start) - start + SPARE
    free = shutil.disk_usage(partial.parent).free
    if need > free:
        raise OutputError(
            f"{stage} needs {need >> 20} MiB in {partial.parent}, where {free >> 20} MiB are free.",
            "Free some space, or set THCLI_WEIGHTS to a folder on another disk.",
        )


def _copy(
    response: http.client.HTTPResponse,
    partial: Path,
    start: int,
    stage: str,
    size: int,
    on: Listener,
) -> int:
    limit, done, told = max(size, 1 << 20) if size else LARGEST, 0, 0.0
    with writing(partial.parent):
        sink = partial.open("ab" if start else "wb", buffering=0)
    with sink:
        while block := response.read(_BLOCK):
            with writing(partial.parent):  # any other OSError in here is the network's
                sink.write(block)
            done += len(block)
            if start + done > limit:
                raise WeightsError(
                    f"{stage}: the server sends more than the expected {limit} bytes."
                )
            if time.monotonic() - told > 0.1:
                told = time.monotonic()
                on(Step(stage, start + done))
    return done


def _again(
    exc: OSError | http.client.HTTPException, place: Address, attempt: int, net: Net, on: Listener
) -> None:
    """Waits before the next attempt, or raises WeightsError when there is no sense in one."""
    host = urllib.parse.urlsplit(place.url).netloc
    hint = "Check the connection (and https_proxy, where one is needed), then run it again: it goes on where it stopped."
    wait = net.pause * 2**attempt
    if isinstance(exc, urllib.error.HTTPError):
        with exc:
            reason, after = f"HTTP {exc.code} {exc.reason}", exc.headers.get("Retry-After", "")
        if exc.code in (401, 403):
            hint = "It may need a login: for Hugging Face set HF_TOKEN, or fetch it in a browser and use 'thcli weights import'."
        elif exc.code in (404, 410):
            hint = "The file has moved: look for it elsewhere and use 'thcli weights import'."
        if exc.code not in _TRANSIENT:
            raise WeightsError(
                f"{host} refuses {urllib.parse.urlsplit(place.url).path}: {reason}.", hint
            ) from exc
        wait = min(float(after), 60.0) if after.isdigit() else wait
    else:
        reason = str(getattr(exc, "reason", "") or exc or type(exc).__name__)
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            hint = "Set SSL_CERT_FILE to your certificates (on macOS run 'Install Certificates.command')."
            raise WeightsError(f"The certificate of {host} cannot be verified.", hint) from exc
    if attempt + 1 >= net.attempts:
        raise WeightsError(f"{host} cannot be reached: {reason.rstrip('.')}.", hint) from exc
    on(Warned(f"{host}: {reason.rstrip('.')}; trying again."))
    time.sleep(wait)
