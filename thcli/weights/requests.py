"""Requests over HTTP by httpx: redirects, errors, and waits before another attempt.

Proxies come from the usual variables (https_proxy, no_proxy).
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from thcli.core.errors import WeightsError
from thcli.core.events import Listener, Warned

if TYPE_CHECKING:
    import httpx

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


class HttpStatusError(Exception):
    """An answer with an error status. retry_after: seconds as the server wrote them, or ""."""

    def __init__(self, status: int, reason: str, retry_after: str) -> None:
        super().__init__(f"HTTP {status} {reason}".rstrip())
        self.status, self.retry_after = status, retry_after


class IncompleteError(Exception):
    """An answer that ended early or cannot continue the part."""


def failures() -> tuple[type[Exception], ...]:
    """Return the exceptions of a failed attempt."""
    import httpx

    return (httpx.HTTPError, httpx.StreamError, HttpStatusError, IncompleteError)


@contextmanager
def open_answer(
    remote: RemoteFile, settings: HttpSettings, headers: Mapping[str, str]
) -> Iterator[httpx.Response]:
    """Send a GET request, follow redirects and yield the answer with its body unread.

    Raises:
        WeightsError: a redirect leaves encryption, or the proxy variables are not usable.
        HttpStatusError: the answer is an error.
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
                raise HttpStatusError(response.status_code, response.reason_phrase, retry_after)
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


def wait_or_raise(
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
    if isinstance(exc, HttpStatusError):
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
