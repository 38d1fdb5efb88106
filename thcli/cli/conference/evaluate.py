"""`thcli eval transmit`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.cli.report_options import ReportOptions, command_line
from thcli.core.options import (
    EvaluateOptions,
    FindOptions,
    ReadOptions,
    RunOptions,
    ShowOptions,
    TransmitEvaluateOptions,
    TransmitOptions,
    option,
)


@dataclass(frozen=True, slots=True)
class PlotReportOptions(ReportOptions):
    """Report."""

    plot: Path | None = option(None, "Also write the rate-distortion plot to this SVG file.")


@flags
def transmit(
    clips: Annotated[list[Path], typer.Argument(help="Clips of one talking head each.")],
    *,
    evaluate: TransmitEvaluateOptions,
    report: PlotReportOptions,
    read: ReadOptions,
    find: FindOptions,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure transmit and receive beside video codecs: kbit/s, quality in the face."""
    from thcli.evaluate.benchmarks.reenactment.reenact import MeasureSetup
    from thcli.evaluate.datasets.result_pairs import TrueClip, name_clips
    from thcli.evaluate.metrics.all_metrics import load_metrics
    from thcli.evaluate.metrics.tracker import main_face_tracker
    from thcli.evaluate.transmission import benchmark
    from thcli.evaluate.transmission.plot import save_plot
    from thcli.evaluate.transmission.video_codecs import check_codecs
    from thcli.faces.identity.encoder import load_encoder

    report.refuse_existing(clips, evaluate)
    check_codecs(evaluate.codec_names)
    sending = TransmitOptions(quality=evaluate.quality, find=find, read=read, run=run)
    with Console(show) as console:
        metrics = load_metrics(EvaluateOptions(), load_encoder(find.identity, run), run)
        measures = MeasureSetup(main_face_tracker(find.choosing(), run), metrics)
        points = []
        for name, clip in name_clips([TrueClip(path) for path in clips]).items():
            points += benchmark.evaluate_transmission(
                name, clip.path, evaluate, sending, measures, console
            )
        content = benchmark.report(points, command_line())
        table = benchmark.table(points)
        if report.plot is not None:
            save_plot(report.plot, points)
            content["plot"] = str(report.plot)
        report.save(content, [table])
    console.table(*table, content, headed=True)
