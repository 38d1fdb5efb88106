"""`thcli ui`: fields from the commands, jobs from the fields, and the page in a browser."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer

from thcli.cli.app import app, run
from thcli.cli.batch import worker_process
from thcli.cli.batch.jobs import make_job
from thcli.cli.batch.pool import Pool
from thcli.cli.ui.command import check_address
from thcli.cli.ui.form import COMMANDS, LEFT_OUT, Field, describe_event, fields_of, make_row
from thcli.cli.ui.page import build_page, runner
from thcli.core.errors import DeviceError

PROGRAM: Any = typer.main.get_command(app)
CHROMIUM = shutil.which("chromium")
needs_gradio = pytest.mark.skipif(
    find_spec("gradio") is None, reason="Gradio is absent (thcli[ui])"
)
ANSWERING = """
import json, sys
for line in sys.stdin:
    argv = json.loads(line)["argv"]
    for stage in ("track", "render"):
        text = json.dumps({"event": "step", "stage": stage, "done": 3})
        print(json.dumps({"line": text}), flush=True)
    failed = {"error": "MediaError", "message": "No face.", "hint": "Take another."}
    result = failed if "--engine=fomm" in argv else {"output": "/made/a.mp4", "frames": 3}
    code = 3 if "--engine=fomm" in argv else 0
    print(json.dumps({"exit_code": code, "result": result, "rss": 1, "peak": 1}), flush=True)
"""


def by_key(fields: list[Field]) -> dict[str, Field]:
    return {field.key: field for field in fields}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_a_field(name: str) -> None:
    command = PROGRAM.commands[name]
    fields = by_key(fields_of(command))
    shown = {p.name for p in command.params if not getattr(p, "hidden", False)}
    assert set(fields) == shown - set(LEFT_OUT) - {"help"}
    for parameter in command.params:
        if parameter.name in fields and parameter.param_type_name == "option":
            field = fields[parameter.name]
            assert field.about and field.label in parameter.opts
            assert field.kind == "lines" or field.default == parameter.default
    defaults = [field.default for field in fields_of(command)]
    assert make_row(name, fields_of(command), defaults) == {"command": name, "overwrite": True}


def test_filled_form_is_a_job() -> None:
    fields = by_key(fields_of(PROGRAM.commands["reenact"]))
    kinds = {key: fields[key].kind for key in ("source", "engine", "share", "batch_size", "hdr")}
    assert list(kinds.values()) == ["file", "text", "switch", "number", "choice"]
    given = {"source": "/a.png", "driving": "/b.mp4", "share": True, "batch_size": 4.0}
    values = [given.get(key, field.default) for key, field in fields.items()]
    job = make_job(PROGRAM.commands, 1, make_row("reenact", list(fields.values()), values))
    assert sorted(job.argv[:3]) == ["--batch-size=4", "--overwrite", "--share"]
    assert job.argv[3:] == ("--", "/a.png", "/b.mp4")
    edit = by_key(fields_of(PROGRAM.commands["edit"]))
    lines = [Field("video", "video", "file", ""), edit["attr"]]
    row = make_row("edit", lines, ["/a.mp4", "smiling\nold=0.5\n"])
    assert row["attr"] == ["smiling", "old=0.5"]


def test_progress_in_words() -> None:
    assert describe_event({"event": "started", "stage": "track", "total": 3}) == "track …"
    assert describe_event({"event": "step", "stage": "track", "done": 2}) == "track: 2"
    assert describe_event({"event": "finished"}) == ""


def test_button_runs_the_job_and_shows_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "WORKER", ("-c", ANSWERING))
    fields = fields_of(PROGRAM.commands["reenact"])
    with Pool(1, 0) as pool:
        act = runner(PROGRAM.commands, pool, "reenact", fields)

        def press(**given: Any) -> list[Any]:
            return list(act(*(given.get(field.key, field.default) for field in fields)))

        *steps, last = press(source="/a.png", driving="/b.mp4")
        assert [step[0] for step in steps] == ["track: 3", "render: 3"]
        assert last[0].startswith("/made/a.mp4: 3 frames") and last[1:] == ("/made/a.mp4",) * 2
        failed = press(source="/a.png", driving="/b.mp4", engine="fomm")[-1]
        assert failed == ("No face. Take another.", None, None)
        (wrong,) = press(driving="/b.mp4")
        assert "but not 'source'" in wrong[0]


def test_job_of_a_closed_page_is_not_shown_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "WORKER", ("-c", ANSWERING))
    fields = fields_of(PROGRAM.commands["reenact"])
    with Pool(1, 0) as pool:
        act = runner(PROGRAM.commands, pool, "reenact", fields)
        given = {"source": "/a.png", "driving": "/b.mp4"}
        values = {field.key: given.get(field.key, field.default) for field in fields}
        closed: Any = act(*(values | {"engine": "fomm"}).values())
        next(closed)
        closed.close()
        shown = [step[0] for step in act(*values.values())]
    assert shown[:2] == ["track: 3", "render: 3"] and shown[2].startswith("/made/a.mp4")


def test_error_of_the_pool_is_shown() -> None:
    def refuse(*_: Any) -> Any:
        raise OSError(12, "Cannot allocate memory")

    fields = fields_of(PROGRAM.commands["reenact"])
    values = {field.key: field.default for field in fields} | {"source": "/a", "driving": "/b"}
    with Pool(1, 0, refuse) as pool:
        (shown,) = runner(PROGRAM.commands, pool, "reenact", fields)(*values.values())
    assert shown == ("A worker cannot be started: Cannot allocate memory.", None, None)


def test_address_that_cannot_be_used_is_explained() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(DeviceError, match="is taken"):
            check_address("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(DeviceError, match="Nothing can listen"):
        check_address("192.0.2.1", 7860)  # of no machine


@pytest.mark.skipif(find_spec("gradio") is not None, reason="Gradio is installed")
def test_missing_gradio_is_named(capsys: Any) -> None:
    assert run(["ui"]) == 2
    assert "thcli[ui]" in capsys.readouterr().err


def test_port_is_checked(capsys: Any) -> None:
    assert run(["ui", "--port", "80"]) == 2
    assert "--port" in capsys.readouterr().err


@needs_gradio
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Gradio, at import and at its end
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_page_shows_the_commands_in_a_browser(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Pool(1, 0) as pool:
        page = build_page(PROGRAM.commands, pool)
        launched = page.launch(
            server_name="127.0.0.1", server_port=port, quiet=True, prevent_thread_lock=True
        )
        assert launched
        try:
            switches = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
            switches += [f"--user-data-dir={tmp_path}", "--virtual-time-budget=20000"]
            command = [str(CHROMIUM), *switches, f"http://127.0.0.1:{port}"]
            dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
        finally:
            page.close()
    for name in COMMANDS:
        assert name in dom, json.dumps(dom[:500])
    for label in ("Run reenact", "--strength", "Progress"):
        assert label in dom
