"""`thcli eval speak`: a voice, or finished videos, beside the talkers themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from thcli.cli.console import Console
from thcli.cli.evaluate_models import TalkingFolder, load_voice
from thcli.cli.flags import flags
from thcli.cli.report_options import PageReportOptions, command_line
from thcli.core.errors import UsageError
from thcli.core.options import (
    EncodeOptions,
    FindOptions,
    RunOptions,
    ShowOptions,
    VoiceEvaluateOptions,
    VoiceOptions,
    changed_options,
    option,
)


@dataclass(frozen=True, slots=True)
class SpokenResults:
    """Options of `thcli eval speak`."""

    result: Path | None = option(
        None, "Measure the videos of this folder, named as the clips, in place of a voice."
    )
    drivers: Path | None = option(
        None,
        "With --result: the videos are the clips lip-synced to other sounds, which the motion "
        "files or videos of this folder drove, named as the clips. Measures what changed outside "
        "of the lower face, and the mouth against its driver.",
    )
    lse: bool = option(
        False, "Also LSE-D and LSE-C of clips and results, with SyncNet (weights pull syncnet)."
    )
    find: FindOptions = field(default_factory=FindOptions)


@flags
def speak(
    dataset: TalkingFolder,
    *,
    report: PageReportOptions,
    results: SpokenResults,
    evaluate: VoiceEvaluateOptions,
    voice: VoiceOptions,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure head, brows and blinks of a voice beside those of the talkers themselves.

    Of finished videos the mouth is measured too, of lip-synced ones also what else has changed.
    """
    from thcli.evaluate.benchmarks.voices import lip_synced, spoken_videos, talking_heads
    from thcli.evaluate.datasets import talking_clips
    from thcli.evaluate.metrics.speech.lip_sync import load_syncnet, measure_clip
    from thcli.evaluate.metrics.tracker import main_face_tracker

    report.refuse_existing([dataset], results, evaluate, voice)
    if results.drivers is not None and results.result is None:
        raise UsageError("--drivers needs --result.", "Give the folder of the lip-synced videos.")
    if results.drivers is not None and evaluate.motions:
        raise UsageError("--motions has no effect with --drivers.", "Leave it out.")
    if results.result is not None and evaluate.voice != "auto":
        raise UsageError("--voice has no effect with --result.", "Leave it out.")
    if results.find.identity != "auto":
        raise UsageError("--identity has no effect here.", "Leave it out.")
    if results.drivers is None and not results.lse:
        for _, flag in changed_options(results.find):
            raise UsageError(f"{flag} has no effect without --drivers or --lse.", "Leave it out.")
    with Console(show) as console, report.folder() as folder:
        network = load_syncnet(run) if results.lse else None
        if results.result is not None:
            for _, flag in changed_options(voice):
                raise UsageError(f"{flag} has no effect with --result.", "Leave it out.")
            found = talking_clips.clips_of_speakers(dataset, evaluate.chosen)
            if results.drivers is not None:
                encoding = EncodeOptions(faces=results.find.choosing(), run=run)
                tracker = main_face_tracker(encoding.faces, run)
                synced = lip_synced.evaluate_lips(
                    found, results.result, results.drivers, tracker, encoding, console
                )
                content = lip_synced.report(synced)
                tables = [lip_synced.table(content)]
            else:
                measured = spoken_videos.evaluate_results(
                    found, results.result, evaluate.folder, console
                )
                content, tables = measured.report(), measured.tables()
        else:
            name, loaded = load_voice(evaluate, voice, run)
            found = talking_clips.clips_of_speakers(dataset, evaluate.chosen)
            clips = talking_heads.evaluate_heads(loaded, found, evaluate.folder, voice, console)
            content = talking_heads.report(clips, name)
            tables = [talking_heads.table(content)]
        if network is not None:
            tracker = main_face_tracker(results.find.choosing(), run)
            measure = partial(measure_clip, network, tracker=tracker)
            content["lse"], table = spoken_videos.measure_sync(found, results.result, measure)
            tables.append(table)
        content["run"] = command_line()
        report.save_page(content, tables, folder)
    console.tables(tables, content)
