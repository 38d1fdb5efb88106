"""Addresses of sources of weights.

hf: addresses are HUB/REPO/resolve/REVISION/FILE; `huggingface_hub` would add nothing but this
format. gdrive: addresses may need the form of a confirmation page.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urljoin

from thcli.core.errors import WeightsError
from thcli.core.events import silent
from thcli.weights.requests import HttpSettings, RemoteFile, failures, open_answer, wait_or_raise

if TYPE_CHECKING:
    import httpx

PAGE_BYTES = 1 << 20  # of a page with a form, read at most


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
            with open_answer(first, settings, {}) as response:
                if "text/html" not in response.headers.get("Content-Type", ""):
                    return first
                page = _read_page(response)
            break
        except failures() as exc:
            wait_or_raise(exc, first, attempt, settings, silent)
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
        if len(page) >= PAGE_BYTES:
            break
    return page.decode("utf-8", "replace")
