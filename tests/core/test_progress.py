"""Progress bars of the Python API."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from thcli.core.events import Finished, Started, Step, Warned
from thcli.core.progress import TqdmListener, progress_bar


def last_bar(text: str) -> str:
    """Return the last state of the last bar."""
    return [part for part in text.replace("\n", "\r").split("\r") if part.strip()][-1]


def test_a_stage_has_one_bar_that_reaches_its_total() -> None:
    stream = io.StringIO()
    on = TqdmListener(stream)
    on(Started("detect", 3))
    for done in (1, 2, 3):
        on(Step("detect", done))
    on(Finished("detect", 3, 0.1))
    bar = last_bar(stream.getvalue())
    assert bar.startswith("detect: 100%") and "3/3" in bar and "frames/s" in bar


def test_steps_are_totals_and_not_increments() -> None:
    stream = io.StringIO()
    on = TqdmListener(stream)
    on(Started("pull", 100, "bytes"))
    on(Step("pull", 40))
    on(Step("pull", 90))
    on.close()
    assert " 90/100 " in last_bar(stream.getvalue())


def test_two_stages_at_once_keep_their_bars_apart() -> None:
    stream = io.StringIO()
    on = TqdmListener(stream)
    on(Started("read", 4))
    on(Started("write", 4))
    on(Step("write", 1))
    on(Step("read", 2))
    on(Finished("write", 1, 0.1))
    assert last_bar(stream.getvalue()).startswith("write: 100%")
    on(Finished("read", 4, 0.1))
    assert last_bar(stream.getvalue()).startswith("read: 100%")


def test_an_unknown_total_is_counted_and_a_shorter_stage_ends_at_its_end() -> None:
    stream = io.StringIO()
    with TqdmListener(stream) as on:
        on(Started("read", None))
        on(Step("read", 7))
        on(Finished("read", 7, 0.1))
        on(Started("detect", 10))
        on(Finished("detect", 6, 0.1))
    assert "read: 100%" in stream.getvalue() and "7/7" in stream.getvalue()
    assert "6/6" in last_bar(stream.getvalue())


def test_a_warning_is_written_once_and_never_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    on = progress_bar()
    on(Started("detect", 3))
    on(Warned("no face in frame 2"))
    on(Warned("no face in frame 2"))
    on(Finished("detect", 3, 0.1))
    captured = capsys.readouterr()
    assert captured.err.count("warning: no face in frame 2") == 1 and captured.out == ""


def test_events_of_unknown_stages_are_ignored() -> None:
    stream = io.StringIO()
    on = TqdmListener(stream)
    on(Step("ghost", 1))
    on(Finished("ghost", 1, 0.1))
    assert stream.getvalue() == ""


def test_leaving_the_context_closes_the_bars_of_interrupted_stages() -> None:
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt), TqdmListener(stream) as on:
        on(Started("detect", 3))
        on(Step("detect", 1))
        raise KeyboardInterrupt
    assert stream.getvalue().endswith("\n") and "1/3" in last_bar(stream.getvalue())


def test_tqdm_is_imported_with_the_first_event_only() -> None:
    code = (
        "import sys; from thcli.core.progress import progress_bar; progress_bar(); "
        "raise SystemExit('tqdm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
