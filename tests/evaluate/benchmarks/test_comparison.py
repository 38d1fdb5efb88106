"""Engines on several clips: inputs, choice, self and cross identity, HTML report."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.evaluate.made_clips import make_tracker, write_frames
from thcli import media
from thcli.cli.report_options import RatedReportOptions, ReportOptions, SheetReportOptions
from thcli.core.errors import MediaError, OutputError, UsageError, WeightsError
from thcli.core.options import EditEvaluateOptions, EvaluateOptions, ReadOptions, RunOptions
from thcli.core.types import Array, Face, Frame, Image
from thcli.evaluate.benchmarks.reenactment.comparison import Comparison
from thcli.evaluate.benchmarks.reenactment.engines import EngineFacts, choose_engines, engine_facts
from thcli.evaluate.benchmarks.reenactment.reenact import CrossSetup, MeasureSetup
from thcli.evaluate.benchmarks.reenactment.reenact_table import ReenactEvaluation
from thcli.evaluate.datasets.result_pairs import TrueClip, name_clips, read_inputs
from thcli.evaluate.metrics.bootstrap import bootstrap, frame_groups
from thcli.evaluate.metrics.sets.distribution import FaceFeatures, frechet_distance
from thcli.evaluate.reports.html.charts import bar_chart, colours_of, line_chart
from thcli.evaluate.reports.html.page import ReportFolder, best_cell
from thcli.evaluate.reports.html.rates import rate_section
from thcli.evaluate.reports.tables import csv_text, markdown_text
from thcli.weights import WeightsStore, is_ready, registry

CHROMIUM = shutil.which("chromium")
NASTY = "<script>document.title='broken'</script>"


def replay(source: Path, drive: Path, read: ReadOptions) -> Iterable[Frame]:
    """Return the driving clip itself."""
    return media.read(drive, read)


def position(image: Image, face: Face) -> Array:
    return np.append(image[20:].mean((0, 1)), float(face.box[0]))


Measured = tuple[ReenactEvaluation, Path, Comparison]


@pytest.fixture(scope="module")
def measured(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[ReenactEvaluation, Path, Comparison]:
    """Return measurements of two clips and the folder with their players."""
    folder = tmp_path_factory.mktemp("clips")
    clips = {name: TrueClip(write_frames(folder / name, 6)) for name in ("one", "two")}
    features = FaceFeatures("made", position, {"set": ("a set", frechet_distance)})
    comparison = Comparison(
        {NASTY: replay, "b|c": replay},
        MeasureSetup(make_tracker),
        CrossSetup(None, (features,)),
        EvaluateOptions(columns=2),
        ReadOptions(),
        folder,
    )
    facts = {label: EngineFacts(1200, "MIT", True, "here") for label in comparison.engines}
    found = ReenactEvaluation(
        comparison.measure_clips(clips), comparison.measure_pairs(clips), facts, {"x": "get it"}
    )
    return found, folder, comparison


def test_tables_of_self_and_cross_identity(
    measured: Measured,
) -> None:
    found, folder, comparison = measured
    (head, lines), (cross_head, cross_lines) = found.tables()
    assert head[3:] == [NASTY, "b|c", "copy", "align", "truth"]
    assert cross_head[3:] == [NASTY, "b|c", "copy", "align"]
    names = [line[0].split(" ")[0] for line in lines]
    assert {"l1", "ms_ssim", "frames", "weights", "licence", "own"} <= set(names)
    cross = {line[0].split(" ")[0]: line for line in cross_lines}
    assert {"apd", "mouth_corr", "own_flicker", "set", "CPU"} <= set(cross)
    assert "l1" not in cross and float(cross["own_flicker"][5]) == 0  # a still image
    assert cross["set"][3] == "0"  # the replayed frames are those of the other clip
    report = json.loads(json.dumps(found.report("thcli eval reenact"), allow_nan=False))
    assert set(report["clips"]) == {"one", "two"} and report["absent"] == {"x": "get it"}
    assert set(report["cross"]["pairs"]) == {"one < two", "two < one"}
    assert report["rows"]["copy"]["frames"] == 10
    spent = sum(one.spent["b|c"] for one in found.own.values())
    assert report["cpu_seconds_a_frame"]["b|c"] == pytest.approx(spent / 12)  # frames rendered
    assert len(comparison.players) == 4
    assert media.probe(folder / comparison.players["one"]).size == (5 * 224, 224)


def test_report_is_self_contained_and_inert(measured: Measured, tmp_path: Path) -> None:
    found, folder, comparison = measured
    target = tmp_path / "report"
    page = found.page(NASTY, f"thcli {NASTY}", comparison.players)
    with ReportFolder(target, False) as opened:
        for name in comparison.players.values():
            shutil.copy(folder / name, opened.path / name)
        opened.finish(page, found.report("thcli"))
    text = (target / "index.html").read_text("utf-8")
    assert "<script" not in text and "http://" not in text and "https://" not in text
    assert text.count("<svg") > 12 and text.count("<video") == 4
    rows = list(csv.reader((target / "table-1.csv").read_text("utf-8").splitlines()))
    assert rows[0][3] == NASTY
    assert "b\\|c" in (target / "table-1.md").read_text("utf-8")
    assert json.loads((target / "report.json").read_text("utf-8"))["cross"]
    with pytest.raises(OutputError):
        ReportFolder(target, False)
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    flags += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000", "--dump-dom"]
    done = subprocess.run(
        [CHROMIUM, *flags, (target / "index.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "<title>&lt;script&gt;" in done.stdout and done.stdout.count("</svg>") > 12


def test_an_unfinished_report_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), ReportFolder(tmp_path / "report", False):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_best_values_and_texts_of_tables() -> None:
    head = ["metric", "unit", "where", "a", "b", "copy"]
    assert best_cell(head, ["l1 ↓", "", "face", "2", "3", "1"]) == 3
    assert best_cell(head, ["csim ↑", "", "face", "0.2", "0.3", "1"]) == 4
    assert best_cell(head, ["aed ↓", "", "face", "9.5e-05", "2e-4", "0"]) == 3
    assert best_cell(head, ["frames", "", "", "2", "3", "1"]) is None
    assert best_cell(head, ["missed ↓", "%", "face", "0", "0", "0"]) is None
    assert best_cell(head, ["l1 ↓", "", "face", "2", "-", "1"]) is None
    assert csv_text((["a"], [["=1+1"], ["-2.5e+07"], ["-"], [""]])) == (
        'a\n\'=1+1\n-2.5e+07\n-\n""\n'
    )
    assert markdown_text((["a|b"], [["<i>"]])) == "| a\\|b |\n| --- |\n| &lt;i> |\n"


def test_charts_leave_gaps_and_intervals_contain_the_mean() -> None:
    curve = np.array([1.0, np.nan, 3.0, 4.0])
    chart = line_chart("t", {"a": (np.arange(4.0), curve)}, colours_of(["a"]))
    path = chart.split('<path d="')[1].split('"')[0]
    assert path.count("M") == 2 and path.count("L") == 1
    groups = frame_groups([np.arange(48.0), np.arange(24.0), np.full(3, np.nan)])
    assert [len(group) for group in groups] == [4, 2]
    found = bootstrap(groups, np.random.default_rng(0))
    assert found.low < found.mean < found.high
    one, other = np.full(40, 1.0), np.full(4, 3.0)
    alike = bootstrap([one, other], np.random.default_rng(0), equal=True)
    assert (alike.low, alike.mean, alike.high) == (1, 2, 3)
    assert bootstrap([one, other], np.random.default_rng(0)).mean < 1.3
    assert "<rect" in bar_chart("t", {"a": found}, colours_of(["a"]))


def test_rates_become_charts(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("method,kbit_s,pfd,clip\nmesh,10,.2,x\nmesh,20,.1,x\nh264,30,.3,x\n", "utf-8")
    section = rate_section(path)
    assert len(section.charts) == 1 and "h264" in section.charts[0].svg
    path.write_text("method,rate\nmesh,10\n", "utf-8")
    with pytest.raises(MediaError, match="kbit_s"):
        rate_section(path)


def test_rates_are_read_before_anything_is_measured(tmp_path: Path) -> None:
    options = RatedReportOptions(report=tmp_path / "report", rates=tmp_path / "absent.csv")
    with pytest.raises(MediaError, match="cannot be read"), options.folder():
        pytest.fail("the measurement began")
    assert not list(tmp_path.iterdir())
    (tmp_path / "rates.csv").write_text("method,kbit_s,pfd\nmesh,10,.2\nmesh,20,.1\n", "utf-8")
    options = RatedReportOptions(report=tmp_path / "report", rates=tmp_path / "rates.csv")
    with options.folder() as folder:
        options.save_page({"command": "eval", "run": "thcli eval"}, [], folder)
    assert "Quality over bitrate" in (tmp_path / "report" / "index.html").read_text("utf-8")


@pytest.mark.parametrize("name", ["table.xlsx", "report.html", "t.csv.gz"])
def test_reports_of_an_unknown_suffix_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--output must be a name that ends in \.json"):
        ReportOptions(output=tmp_path / name).refuse_existing()
    for known in ("t.json", "t.CSV", "t.md", "stdout"):
        ReportOptions(output=tmp_path / known).refuse_existing()


def test_a_report_replaces_no_input(tmp_path: Path) -> None:
    """Also with --overwrite, and where an option names the input."""
    clip, wearers = tmp_path / "clip.mp4", tmp_path / "wearers"
    wearers.mkdir()
    for path in (clip, wearers / "0.png", tmp_path / "manifest.csv"):
        path.write_bytes(b"0")
    measured = EditEvaluateOptions(wearers=wearers)
    for report in (
        SheetReportOptions(overwrite=True, sheet=clip),
        SheetReportOptions(overwrite=True, sheet=wearers / "0.png"),
        SheetReportOptions(overwrite=True, output=tmp_path / "manifest.csv"),
    ):
        with pytest.raises(UsageError, match="an input of this run"):
            report.refuse_existing([clip, None, tmp_path / "manifest.csv"], measured)
    SheetReportOptions(overwrite=True, output=tmp_path / "new.csv").refuse_existing([clip])


def test_inputs_are_files_folders_and_manifests(tmp_path: Path) -> None:
    clips, ours, theirs = (tmp_path / name for name in ("clips", "ours", "theirs"))
    for folder in (clips, ours, theirs):
        folder.mkdir()
        for name in ("a.mp4", "b.mp4"):
            (folder / name).write_bytes(b"")
    found = read_inputs([clips], [ours, theirs])
    assert [clip.path.name for clip in found] == ["a.mp4", "b.mp4"]
    assert found[1].results == {"ours": ours / "b.mp4", "theirs": theirs / "b.mp4"}
    manifest = tmp_path / "list.csv"
    manifest.write_text(
        "clip,result,method\nclips/a.mp4,ours/a.mp4,new\nclips/b.mp4,ours/b.mp4,new\n"
    )
    assert read_inputs([manifest])[0].results == {"new": ours / "a.mp4"}
    named = name_clips(read_inputs([clips / "a.mp4", ours / "a.mp4"]))
    assert list(named) == [str(clips / "a.mp4"), str(ours / "a.mp4")]
    with pytest.raises(UsageError, match="one video"):
        read_inputs([clips], [ours / "a.mp4"])
    with pytest.raises(MediaError, match="nowhere does not exist"):
        read_inputs([clips], [tmp_path / "nowhere"])
    (theirs / "b.mp4").unlink()
    with pytest.raises(MediaError, match="named b"):
        read_inputs([clips], [theirs])
    with pytest.raises(UsageError, match="twice"):
        read_inputs([clips / "a.mp4"], [ours / "a.mp4", ours / "a.mp4"])
    with pytest.raises(UsageError, match="'copy'"):
        read_inputs([clips / "a.mp4"], [tmp_path / "copy"])
    manifest.write_text("clip,method\nclips/a.mp4,new\n")
    with pytest.raises(MediaError, match="a method without a result"):
        read_inputs([manifest])
    manifest.write_text("file\nx\n")
    with pytest.raises(MediaError, match="names no clips"):
        read_inputs([manifest])


def test_engines_without_weights_are_named_or_refused() -> None:
    choice = choose_engines("all", RunOptions())
    assert "mesh" in choice.ready
    if not is_ready("monkeynet"):
        assert choice.absent["monkeynet"].startswith("thcli weights import monkeynet")
        with pytest.raises(WeightsError, match="monkeynet"):
            choose_engines("mesh,monkeynet", RunOptions())
    free = choose_engines("all", RunOptions(licence="free"))
    assert free.absent["fomm"] == "refused by --licence free"
    for text in ("", "mesh,mesh", "nonsense"):
        with pytest.raises(UsageError):
            choose_engines(text, RunOptions())
    facts = engine_facts("fomm")
    assert not facts.free and facts.bytes == 750926934 and not facts.trained


def test_own_weights_are_named_with_their_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    path = WeightsStore.default().path(registry()["fomm-vox"])
    path.parent.mkdir(parents=True)
    metadata = {"made_by": "thcli 1", "steps": "5", "narrow": "8"}
    save_file({"one": np.zeros(3, np.float32)}, path, metadata)
    assert not engine_facts("mesh").trained  # its weights are bundled
    facts = engine_facts("fomm-vox")
    assert facts.trained == "trained by thcli 1: 5 updates, widths / 8"
    assert facts.bytes == path.stat().st_size
