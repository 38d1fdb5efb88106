"""`thcli ui`."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import Any

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.core.errors import DeviceError, UsageError
from thcli.core.options import ShowOptions, ViewerOptions, option, require

LOCAL = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class PageOptions:
    """Page."""

    host: str = option(
        LOCAL,
        "Address to listen on; 0.0.0.0 lets the whole network use this machine and its files.",
    )
    port: int = option(7860, "Port, 1024..65535.")

    def __post_init__(self) -> None:
        require(1024 <= self.port <= 65535, "--port", "within 1024..65535", self.port)


@flags
def ui(
    context: typer.Context, *, options: PageOptions, viewer: ViewerOptions, show: ShowOptions
) -> None:
    """Serve the commands as a page for a browser on this machine.

    Needs thcli[ui]. Ctrl-C ends it.
    """
    try:
        import gradio
    except ImportError as exc:
        raise UsageError("The page needs Gradio.", "Install it: pip install 'thcli[ui]'.") from exc
    from thcli.cli.batch.pool import Pool
    from thcli.cli.ui.page import SYSTEM_FONTS, build_page

    commands: Any = context.find_root().command
    address = f"http://{options.host}:{options.port}"
    check_address(options.host, options.port)
    with Pool(1, 0) as pool:
        page = build_page(commands.commands, pool)
        try:
            page.queue().launch(
                server_name=options.host,
                server_port=options.port,
                inbrowser=viewer.open,
                quiet=True,
                share=False,
                theme=gradio.themes.Default(font=SYSTEM_FONTS, font_mono=SYSTEM_FONTS),
                prevent_thread_lock=True,
            )
        except OSError as exc:
            raise DeviceError(f"The page cannot be served at {address}: {exc}.") from exc
        Console(show).say(f"{address}: Ctrl-C ends it.")
        page.block_thread()


def check_address(host: str, port: int) -> None:
    """Raise DeviceError for an address that nothing can listen on; Gradio does not say why."""
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(kind, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise DeviceError(
                f"The port {port} of {host} is taken.", "Give another --port."
            ) from exc
        reason = exc.strerror or str(exc)
        raise DeviceError(
            f"Nothing can listen on port {port} of {host}: {reason}.", "Give another --host."
        ) from exc
