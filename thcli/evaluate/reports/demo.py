"""Demonstration: a real portrait, the bundled motion, and images of the result."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from importlib.resources import as_file, files
from itertools import islice
from pathlib import Path

from thcli import media
from thcli.core.errors import OutputError
from thcli.core.events import Listener, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import CompareOptions, OutputOptions, ReenactOptions, RunOptions
from thcli.core.temp_folders import made_folder
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.evaluate.reports.contact_sheet import contact_sheet, save_image
from thcli.pipeline.compare import compare
from thcli.pipeline.job.job import Report
from thcli.pipeline.reenact import reenact

COLUMNS = 8  # of the contact sheet
CLOSE = (slice(0, 230), slice(107, 337))  # rows and columns of the face in the photograph


def render_demo(
    folder: Path, run: RunOptions, overwrite: bool = False, on: Listener = silent
) -> Report:
    """Write portrait.png, demo.mp4, side-by-side.mp4 and sheet.png into a folder.

    Raises OutputError when they exist already.
    """
    paths = [folder / n for n in ("portrait.png", "demo.mp4", "side-by-side.mp4", "sheet.png")]
    made: list[Path] = []
    with ExitStack() as stack:
        try:
            stack.enter_context(made_folder(folder))
        except OSError as exc:
            reason = exc.strerror or exc
            raise OutputError(
                f"{folder} cannot be created: {reason}.", "Choose another folder with -o."
            ) from exc
        for path in paths:
            if path.exists() and not overwrite:
                raise OutputError(f"{path} exists already.", "Add --overwrite to replace it.")
        try:
            report = _render(paths, made, run, OutputOptions(overwrite=overwrite), on)
        except BaseException:
            for path in made:  # the next run must not find half of the files
                path.unlink(missing_ok=True)
            raise
    names = [path.name for path in paths[1:]]
    return replace(report, command="demo", output=folder, details={"files": names})


def _render(
    paths: list[Path], made: list[Path], run: RunOptions, output: OutputOptions, on: Listener
) -> Report:
    """Write the four files; those that are complete are added to `made`."""
    source, video, pair, sheet = paths
    save_image(source, photograph())
    made.append(source)
    with as_file(files("thcli.motion").joinpath("data/demo.motion.safetensors")) as motion:
        report = reenact(source, motion, video, ReenactOptions(output=output, run=run), on)
    made.append(video)
    labels = ["source", "thcli reenact, bundled motion"]
    compare([source, video], pair, CompareOptions(label=labels, output=output), on)
    made.append(pair)
    step = -(-report.frames // COLUMNS)
    with media.read(video) as frames:
        shown = [to_uint8(frame.pixels) for frame in islice(frames, 0, None, step)]
    rows = {"result": shown, "close": [image[CLOSE] for image in shown]}
    save_image(sheet, contact_sheet(rows, cell=(224, 224)))
    return report
