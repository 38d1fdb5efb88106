"""A web site on this machine with the habits and the faults of hosts of weights."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from thcli.weights import WeightsEntry, WeightsStore
from thcli.weights.registry import parse_entry
from thcli.weights.requests import HttpSettings
from thcli.weights.sources import Transport

Answer = Callable[[BaseHTTPRequestHandler], None]
BLOB = bytes(range(256)) * 4096  # 1 MiB
SHA = hashlib.sha256(BLOB).hexdigest()


@dataclass
class FakeSite:
    """State of the running site.

    blobs: path -> served bytes.  content_types: path -> media type.
    scripted: path -> answers to the first requests, in order.
    requests: path and headers of each request received.
    """

    url: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    content_types: dict[str, str] = field(default_factory=dict)
    scripted: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]

    def headers(self, name: str) -> list[str | None]:
        """Return the value of one header in each request."""
        return [headers.get(name) for _, headers in self.requests]


def answer(code: int, body: bytes = b"", **headers: str) -> Answer:
    """Return a fixed answer. Content_Length may be given a wrong value."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        given = {k.replace("_", "-"): v for k, v in headers.items()}
        for name, value in {"Content-Length": str(len(body)), **given}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


@contextmanager
def serve() -> Iterator[FakeSite]:
    """Run a site until the block ends."""
    site = FakeSite()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.requests.append((self.path, dict(self.headers.items())))
            path = self.path.partition("?")[0]
            if waiting := site.scripted.get(path):
                waiting.pop(0)(self)
                return
            body = site.blobs.get(self.path) or site.blobs.get(path)
            if body is None:
                answer(404)(self)
                return
            content_type = site.content_types.get(path, "application/octet-stream")
            given = self.headers.get("Range", "bytes=0-")
            start = int(given.removeprefix("bytes=").partition("-")[0])
            if "Range" not in self.headers or self.headers.get("If-Range", '"v1"') != '"v1"':
                answer(200, body, Content_Type=content_type, ETag='"v1"')(self)
            elif start >= len(body):
                answer(416)(self)
            else:
                content_range = f"bytes {start}-{len(body) - 1}/{len(body)}"
                answer(206, body[start:], Content_Range=content_range, ETag='"v1"')(self)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def entry(name: str, **given: object) -> WeightsEntry:
    """Return a row of the registry with defaults for the fields that are not given."""
    defaults = {
        "file": f"{name}.dat",
        "licence": "MIT",
        "commercial": True,
        "provides": "engine:test",
        "format": "raw",
        "about": "" if given.get("sources") else "Ask its author.",
    }
    return parse_entry(name, {**defaults, **given})


def store(root: Path, *entries: WeightsEntry) -> WeightsStore:
    """Return a store with an empty cache."""
    return WeightsStore(root / "cache", {e.name: e for e in entries}, root / "bundled")


def transport(site: FakeSite) -> Transport:
    """Return a transport with the site as each host, and no pause between attempts."""
    return Transport(
        http=HttpSettings(
            hub=site.url,
            token="secret",
            drive=f"{site.url}/drive",
            attempts=3,
            pause=0.0,
            timeout=5.0,
        )
    )
