"""The page of `thcli ui`, made with Gradio."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thcli.cli.batch.jobs import make_job
from thcli.cli.batch.pool import JobEnded, JobProgress, Pool
from thcli.cli.ui.form import COMMANDS, Field, describe_event, fields_of, make_row
from thcli.cli.wording import from_markup
from thcli.core.errors import ThcliError

if TYPE_CHECKING:
    import gradio

VIDEOS = (".mp4", ".m4v", ".mov", ".webm")
SYSTEM_FONTS = ("system-ui", "sans-serif")  # a page of this machine asks no other for fonts
State = tuple[str, str | None, str | None]  # message, video to show, file to download


def build_page(commands: Any, pool: Pool) -> gradio.Blocks:
    """Build the page: one tab a command, with its arguments, options and result.

    Args:
        commands: name -> command of the command line.
        pool: of one worker, which runs the jobs.
    """
    import gradio

    with gradio.Blocks(title="thcli", analytics_enabled=False) as page:
        gradio.Markdown(
            "# thcli\nThe machine that serves this page does the work and keeps the files."
        )
        with gradio.Tabs():
            for name in COMMANDS:
                with gradio.Tab(name):
                    gradio.Markdown(from_markup(str(commands[name].help).split("\n\n")[0]))
                    fields = fields_of(commands[name])
                    boxes = [box for _, box in _draw(fields)]
                    button = gradio.Button(f"Run {name}", variant="primary")
                    message = gradio.Textbox(label="Progress", lines=2, interactive=False)
                    video = gradio.Video(label="Result", interactive=False)
                    file = gradio.File(label="File", interactive=False)
                    act = runner(commands, pool, name, fields)
                    button.click(
                        act,
                        boxes,
                        [message, video, file],
                        concurrency_limit=1,
                        concurrency_id="pool",  # one for all tabs, which share the worker
                    )
    return page


def _draw(fields: Sequence[Field]) -> Iterator[tuple[Field, Any]]:
    """Draw the fields in the open block; yield each with its component, in order."""
    import gradio

    for panel, group in groupby(fields, key=lambda field: field.panel):
        if not panel:
            with gradio.Row():
                yield from [(field, _component(field)) for field in group]
            continue
        with gradio.Accordion(panel, open=False):
            yield from [(field, _component(field)) for field in group]


def _component(field: Field) -> Any:
    """Return the component of a field; its choices and default are those of the option."""
    import gradio

    named = {"label": field.label}
    if field.kind in ("file", "files"):
        count = "multiple" if field.kind == "files" else "single"
        return gradio.File(**named, file_count=count, type="filepath")
    about = {**named, "info": field.about}
    if field.kind == "switch":
        return gradio.Checkbox(**about, value=bool(field.default))
    if field.kind == "choice":
        return gradio.Dropdown(**about, choices=list(field.choices), value=field.default)
    if field.kind == "number":
        return gradio.Number(**about, value=field.default)
    lines = 3 if field.kind == "lines" else 1
    return gradio.Textbox(**about, value=field.default, lines=lines)


def runner(
    commands: Any, pool: Pool, name: str, fields: Sequence[Field]
) -> Callable[..., Iterator[State]]:
    """Return the function behind a button: it takes the values and yields what the page shows."""

    def act(*values: Any) -> Iterator[State]:
        try:
            job = make_job(commands, 1, make_row(name, fields, values))
            for event in pool.run([job]):
                if event.job is not job:  # of a page that was closed before its job ended
                    continue
                if isinstance(event, JobProgress) and (line := describe_event(event.event)):
                    yield line, None, None
                elif isinstance(event, JobEnded):
                    yield _show(event)
        except ThcliError as error:
            yield str(error), None, None

    return act


def _show(end: JobEnded) -> State:
    """Return what the page shows of a job that ended."""
    if end.exit_code:
        reason = f"{end.result.get('message', '')} {end.result.get('hint', '')}".strip()
        return reason, None, None
    made = str(end.result.get("output") or "")
    video = made if Path(made).suffix.lower() in VIDEOS else None
    message = f"{made}: {end.result.get('frames')} frames in {end.seconds:.1f} s"
    return message, video, made or None
