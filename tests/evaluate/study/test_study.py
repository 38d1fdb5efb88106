"""Blind studies: plan, page in a browser, and analysis of answers that are known."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from thcli.cli.app import run
from thcli.core.errors import MediaError, UsageError
from thcli.core.options import StudyOptions
from thcli.evaluate.study.answers import analyse
from thcli.evaluate.study.plan import plan_study

CHROMIUM = shutil.which("chromium")
HEAD = "person,question,first,answer,seconds\n"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return a folder with pictures of two methods, the truth and the persons."""
    folder = tmp_path / "results"
    for method in ("ours", "theirs", "truth", "person"):
        (folder / method).mkdir(parents=True)
        for item in ("a", "b"):
            Image.new("RGB", (16, 16), "grey").save(folder / method / f"{item}.png")
    return folder


def test_plan_compares_equal_names_and_hides_methods(results: Path) -> None:
    (results / "ours" / "c.png").write_bytes((results / "ours" / "a.png").read_bytes())
    plan = plan_study(results, StudyOptions(ask="quality"))
    assert {question.aspect for question in plan.questions} == {"real", "quality"}
    methods = {clip.code: clip.method for clip in plan.clips}
    pairs = [question for question in plan.questions if len(question.clips) == 2]
    assert len(pairs) == 2 * 3  # items a and b, three methods each
    assert all(methods[question.reference] == "person" for question in pairs)
    assert not any(methods[code] == "person" for q in plan.questions for code in q.clips)
    assert all(re.fullmatch("[0-9a-f]{8}", clip.code) for clip in plan.clips)
    assert len(methods) == len(plan.clips)
    other = plan_study(results, StudyOptions(ask="quality", seed=1))
    assert not set(methods) & {clip.code for clip in other.clips}


def test_without_truth_nobody_is_asked_about_it(results: Path) -> None:
    plan = plan_study(results, StudyOptions(truth="recorded", pairs=False))
    assert "real" not in {question.aspect for question in plan.questions}
    assert plan.truth == ""


def test_unusable_folders_are_refused(results: Path, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="not a folder"):
        plan_study(tmp_path / "none", StudyOptions())
    with pytest.raises(MediaError, match="no clips"):
        plan_study(tmp_path / "results" / "ours", StudyOptions())
    shutil.rmtree(results / "theirs")
    shutil.rmtree(results / "truth")
    with pytest.raises(UsageError, match="no questions"):
        plan_study(results, StudyOptions(singles=False))
    with pytest.raises(UsageError, match="--ask"):
        StudyOptions(ask="beauty")


def test_clip_of_another_codec_is_refused(results: Path) -> None:
    with av.open(str(results / "ours" / "d.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        grey = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 128, np.uint8))
        container.mux([*stream.encode(grey), *stream.encode()])
    with pytest.raises(MediaError, match="browsers"):
        plan_study(results, StudyOptions())


def test_page_shows_no_method_and_key_undoes_it(results: Path, tmp_path: Path, capsys: Any) -> None:
    assert run(["eval", "study", str(results), "-o", str(tmp_path / "page"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    page = (tmp_path / "page" / "index.html").read_text("utf-8")
    assert "ours" not in page and "theirs" not in page
    assert len(list((tmp_path / "page").glob("*.png"))) == report["clips"] == 8
    key = json.loads(Path(report["key"]).read_text("utf-8"))
    methods = {clip["method"] for clip in key["clips"].values()}
    assert methods == {"ours", "theirs", "truth", "person"}
    assert run(["eval", "study", str(results), "-o", str(tmp_path / "page")]) == 7


def answer_all(key: dict[str, Any], person: str, prefer: str) -> str:
    """Return lines of a person who likes one method best and takes it for real."""
    lines = []
    for question in key["questions"]:
        methods = [key["clips"][code]["method"] for code in question["clips"]]
        first = question["clips"][0]
        if len(methods) == 2:
            answer = "A" if methods[0] == prefer else "B" if methods[1] == prefer else "same"
            if (question["number"] + len(person)) % 2:  # shown the other way round
                first, answer = question["clips"][1], {"A": "B", "B": "A"}.get(answer, answer)
        elif question["aspect"] == "real":
            answer = "real" if methods[0] == prefer else "made"
        else:
            answer = "5" if methods[0] == prefer else "2"
        lines.append(f"{person},{question['number']},{first},{answer},1.0\n")
    return "".join(lines)


def test_analysis_finds_what_people_prefer(results: Path, tmp_path: Path, capsys: Any) -> None:
    assert run(["eval", "study", str(results), "-o", str(tmp_path / "page")]) == 0
    key_file = tmp_path / "page.key.json"
    key = json.loads(key_file.read_text("utf-8"))
    for person, prefer in (("one", "ours"), ("two", "ours"), ("three", "ours"), ("four", "theirs")):
        text = HEAD + answer_all(key, person, prefer)
        (tmp_path / f"{person}.csv").write_text(text, "utf-8")
    found = analyse(key_file, sorted(tmp_path.glob("*.csv")))
    assert found.opinions["quality", "ours"].mean == pytest.approx((3 * 5 + 2) / 4)
    assert found.opinions["real", "ours"].mean == pytest.approx(0.75)
    assert found.opinions["real", "truth"].mean == 0
    one = found.preferences["lips", "ours > theirs"]
    assert one.mean == pytest.approx(0.75)
    assert one.low < 0.75 < one.high <= 1 and one.persons == 4 and one.answers == 8
    capsys.readouterr()
    files = [str(path) for path in tmp_path.glob("*.csv")]
    assert run(["eval", "answers", str(key_file), *files]) == 0
    assert "ours > theirs" in capsys.readouterr().out


def test_interval_narrows_with_persons(results: Path, tmp_path: Path) -> None:
    assert run(["eval", "study", str(results), "-o", str(tmp_path / "page")]) == 0
    key_file = tmp_path / "page.key.json"
    key = json.loads(key_file.read_text("utf-8"))
    draw = np.random.default_rng(0)
    widths = []
    for persons in (4, 40):
        parts = [
            answer_all(key, f"p{number}", draw.choice(["ours", "theirs"]))
            for number in range(persons)
        ]
        (tmp_path / "all.csv").write_text(HEAD + "".join(parts), "utf-8")
        found = analyse(key_file, [tmp_path / "all.csv"]).opinions["quality", "ours"]
        widths.append(found.high - found.low)
    assert widths[1] < 0.6 * widths[0]


@pytest.mark.parametrize(
    "line",
    ["p,9999,x,A,1", "p,0,x,7,1", "p,0,x", "p,zero,x,A,1", "p,-500,x,5,1"],
)
def test_answers_of_another_study_are_refused(results: Path, tmp_path: Path, line: str) -> None:
    assert run(["eval", "study", str(results), "-o", str(tmp_path / "page"), "--no-pairs"]) == 0
    (tmp_path / "x.csv").write_text(HEAD + line + "\n", "utf-8")
    with pytest.raises(UsageError, match="Line 2"):
        analyse(tmp_path / "page.key.json", [tmp_path / "x.csv"])


def test_answering_twice_is_refused(results: Path, tmp_path: Path) -> None:
    assert run(["eval", "study", str(results), "-o", str(tmp_path / "page")]) == 0
    key_file = tmp_path / "page.key.json"
    text = HEAD + answer_all(json.loads(key_file.read_text("utf-8")), "one", "ours")
    (tmp_path / "a.csv").write_text(text, "utf-8")
    with pytest.raises(UsageError, match="before"):
        analyse(key_file, [tmp_path / "a.csv", tmp_path / "a.csv"])


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_page_runs_in_a_browser(results: Path, tmp_path: Path) -> None:
    """A script in the page answers everything; the page ends with the file of answers."""
    assert run(["eval", "study", str(results), "-o", str(tmp_path / "page"), "--most", "6"]) == 0
    page = tmp_path / "page" / "index.html"
    driver = """<script>
      document.querySelector("input").value = "Zoë, 7";
      document.querySelector("button").click();
      for (let step = 0; step < 6; step++) document.querySelector(".answers button").click();
      fetch(document.querySelector("a").href).then((got) => got.text()).then((text) => {
        const out = document.createElement("pre");
        out.textContent = text;
        document.body.append(out);
      });
    </script></html>"""
    page.write_text(page.read_text("utf-8").replace("</html>", driver), "utf-8")
    assert CHROMIUM is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    flags += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000", "--dump-dom"]
    done = subprocess.run(
        [CHROMIUM, *flags, page.as_uri()], capture_output=True, text=True, timeout=120
    )
    found = re.search(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)
    assert found is not None, done.stdout[-2000:]
    lines = found.group(1).strip().splitlines()
    assert lines[0] == HEAD.strip() and len(lines) == 7
    (tmp_path / "answers.csv").write_text(found.group(1), "utf-8")
    result = analyse(tmp_path / "page.key.json", [tmp_path / "answers.csv"])
    total = [*result.opinions.values(), *result.preferences.values()]
    assert sum(estimate.answers for estimate in total) == 6
