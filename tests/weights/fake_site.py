"""A web site on this machine that behaves and misbehaves as hosts of weights do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from thcli.weights import Entry, Store
from thcli.weights.download import Net
from thcli.weights.registry import parse
from thcli.weights.sources import Means


@dataclass
class Site:
    """blobs: path -> what is served.  first: path -> what happens at the first requests instead, one after the other."""

    url: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    first: dict[str, list[Callable[[BaseHTTPRequestHandler], None]]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


def answer(
    code: int, body: bytes = b"", **headers: str
) -> Callable[[BaseHTTPRequestHandler], None]:
    """A fixed answer; Content_Length may be given as a lie."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        given = {k.replace("_", "-"): v for k, v in headers.items()}
        for name, value in {"Content-Length": str(len(body)), **given}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


@contextmanager
def serve() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path
            site.asked.append((path, dict(self.headers.items())))
            waiting = site.first.get(path.partition("?")[0])
            if waiting:
                waiting.pop(0)(self)
                return
            body = site.blobs.get(path) or site.blobs.get(path.partition("?")[0])
            if body is None:
                answer(404)(self)
                return
            kind = site.kinds.get(path.partition("?")[0], "application/octet-stream")
            start = int(
                self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0]
            )
            if "Range" in self.headers and self.headers.get("If-Range", '"v1"') == '"v1"':
                given = f"bytes {start}-{len(body) - 1}/{len(body)}"
                send = (
                    answer(206, body[start:], Content_Range=given, ETag='"v1"')
                    if start < len(body)
                    else answer(416)
                )
                send(self)
            else:
                answer(200, body, Content_Type=kind, ETag='"v1"')(self)

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


def entry(name: str, **given: object) -> Entry:
    """A row with the tedious fields filled in."""
    base = {
        "file": f"{name}.onnx",
        "licence": "MIT",
        "commercial": True,
        "provides": "engine:test",
        "format": "onnx",
    }
    table = {**base, "about": "" if given.get("sources") else "Ask its author.", **given}
    return parse(name, table)


def store(root: Path, *entries: Entry) -> Store:
    return Store(root / "cache", {e.name: e for e in entries}, root / "bundled")


def means(site: Site) -> Means:
    """The site in place of each host, and no waiting between attempts."""
    return Means(
        net=Net(
            hub=site.url,
            token="secret",
            drive=f"{site.url}/drive",
            attempts=3,
            pause=0.0,
            timeout=5.0,
        )
    )
