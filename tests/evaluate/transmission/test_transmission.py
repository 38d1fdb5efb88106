"""`thcli eval transmit`: codings near a bitrate, equal quality, table, plot."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.pipeline.command_line import to_argv
from tests.pipeline.face_clip import write_face_clip
from thcli import media
from thcli.cli.app import run
from thcli.core.errors import UsageError
from thcli.core.options import ReadOptions, TransmitEvaluateOptions
from thcli.evaluate.transmission.benchmark import PLAIN, Point, equal_quality
from thcli.evaluate.transmission.plot import draw_plot
from thcli.evaluate.transmission.video_codecs import encode_near


def point(codec: str, kbits: float, pfd: float | None) -> Point:
    return Point("a", codec, kbits, "", {"pfd": pfd, "csim": pfd, "l1": 1.0, "akd": None})


def test_equal_quality_is_between_the_points() -> None:
    points = [point(PLAIN, 4, 0.2), point("h264", 10, 0.4), point("h264", 40, 0.1)]
    points += [point("av1", 9, 0.1), point("av1", 20, 0.05), point("hevc", 9, None)]
    found = equal_quality(points, "pfd")
    assert found["h264"] is not None and found["h264"] == pytest.approx(10 * 4 ** (2 / 3), abs=0.01)
    assert found["av1"] is None and found["hevc"] is None


def test_the_plot_has_every_point() -> None:
    points = [point(PLAIN, 4, 0.2), point("h264", 10, 0.4), point("h264", 40, 0.1)]
    root = ElementTree.fromstring(draw_plot([*points, point("av1", 9, None)]))
    spots = [node for node in root.iter() if node.tag.endswith("circle")]
    assert len(spots) == 2 * 3 + 3  # two metrics, and the key of three codecs
    words = [node for node in root.iter() if node.tag.endswith("text")]
    assert max(int(node.attrib["x"]) for node in words) < int(root.attrib["width"])
    assert max(int(node.attrib["y"]) for node in words) < int(root.attrib["height"])


def test_a_clip_is_coded_near_a_bitrate(tmp_path: Path) -> None:
    clip, out = tmp_path / "clip.mp4", tmp_path / "out.mkv"
    write_face_clip(clip, 6, size=96, pts=[0, 40, 90, 120, 200, 240])
    found = encode_near(clip, ReadOptions(), "h264", 300, out)
    assert 100 < found.kbits <= 300 and found.scale == 1
    with media.read(out) as frames:
        times = [float(frame.pts * frame.time_base) for frame in frames]
    assert times == pytest.approx([0, 0.04, 0.09, 0.12, 0.2, 0.24], abs=0.001)
    small = encode_near(clip, ReadOptions(), "h264", 1, out)
    assert small.scale == 4 and small.crf == 51


@pytest.mark.parametrize("rates", ["", "x", "0", "1,500", "1;2"])
def test_rates_are_checked(rates: str) -> None:
    with pytest.raises(UsageError, match="--rates must be"):
        TransmitEvaluateOptions(rates=rates)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip, report, plot = tmp_path / "c.mp4", tmp_path / "r.json", tmp_path / "r.svg"
    write_face_clip(clip, 4)
    words = "--codecs h264 --rates 3 --device cpu --threads 1 -q"
    assert run(to_argv("eval transmit", clip, "-o", report, "--plot", plot, words)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t")[:4] == ["clip", "codec", "kbit/s", "pfd"]
    content = json.loads(report.read_text())
    assert [row["codec"] for row in content["points"]] == [
        "motion",
        "motion + picture",
        "h264",
        "h264",
    ]
    assert content["points"][0]["cpu_ms"]["receive"] > 0 and content["points"][2]["cpu_ms"] is None
    assert plot.read_text().startswith("<svg") and content["plot"] == str(plot)
    assert {name: set(at) for name, at in content["equal_quality"].items()} == {
        "c.mp4": {"pfd", "csim"}
    }
    assert run(to_argv("eval transmit", clip, "--no-pictures --json", words)) == 0
    points = json.loads(capsys.readouterr().out)["points"]
    assert [row["codec"] for row in points] == ["motion", "h264"]
    assert run(to_argv("eval transmit", clip, "--codecs vp8 -q")) == 2
    assert "h264, hevc, av1" in capsys.readouterr().err
