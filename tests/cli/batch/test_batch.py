"""`thcli batch` with real workers: results, report, resume, exit codes."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.face_clip import write_face_clip
from thcli.cli.app import run
from thcli.cli.batch import worker
from thcli.weights.backend import Backend, loaded_backends_kept

LOSSLESS = ["--codec", "ffv1", "--size", "64"]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three clips, one of them damaged."""
    folder = tmp_path_factory.mktemp("batch")
    write_face_clip(folder / "a.mp4", 4)
    write_face_clip(folder / "b.mp4", 3)
    (folder / "c.mp4").write_bytes((folder / "a.mp4").read_bytes()[:500])
    return folder


def batch(*words: object) -> int:
    return run(["batch", *(str(word) for word in words)])


def ended(report: Path) -> list[int]:
    """Return the exit codes in a report, in order."""
    rows = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    return [row["exit_code"] for row in rows if "exit_code" in row]


def test_failing_job_stops_no_other_and_resume_repeats_it_alone(
    room: Path, tmp_path: Path, capsys: Any
) -> None:
    report, made = tmp_path / "r.jsonl", tmp_path / "made"
    command = ["--", "crop", "{}", "-o", made / "{stem}.mkv", *LOSSLESS]
    words = [f"{room}/*.mp4", "-o", report, "--workers", 1, "--json"]
    assert batch(*words, *command) == 11
    result = json.loads(capsys.readouterr().out)
    assert (result["done"], result["failed"], result["left_out"]) == (2, 1, 0)
    assert result["failures"][0]["exit_code"] == 3 and "c.mp4" in result["failures"][0]["message"]
    assert result["frames"] == 7
    assert ended(report) == [0, 0, 3]

    alone = tmp_path / "alone.mkv"
    assert run(["crop", str(room / "a.mp4"), "-o", str(alone), *LOSSLESS, "--quiet"]) == 0
    assert packets(alone) == packets(made / "a.mkv")

    assert batch(*words, *command) == 7  # the report exists
    capsys.readouterr()
    with report.open("a") as file:
        file.write('{"job": "cut')
    assert batch(*words, "--resume", *command) == 11
    again = json.loads(capsys.readouterr().out)
    assert (again["done"], again["failed"], again["left_out"]) == (0, 1, 2)
    assert ended(report) == [0, 0, 3, 3]

    for path in made.glob("b.*"):
        path.unlink()
    assert batch(*words, "--resume", *command) == 11
    assert json.loads(capsys.readouterr().out)["done"] == 1
    assert (made / "b.mkv").exists()


def packets(path: Path) -> list[bytes]:
    import av

    with av.open(str(path)) as file:
        return [bytes(packet) for packet in file.demux(video=0)]


@pytest.mark.parametrize("key", ["video", "input"])  # of Python, and as the help shows it
def test_dry_run_prints_command_lines(key: str, room: Path, tmp_path: Path, capsys: Any) -> None:
    jobs = tmp_path / "jobs.jsonl"
    job = {"command": "crop", key: str(room / "a.mp4"), "output": str(tmp_path / "o.mkv")}
    jobs.write_text(json.dumps(job))
    assert batch(jobs, "--dry-run") == 0
    assert capsys.readouterr().out == f"thcli crop --output={job['output']} -- {job[key]}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["jobs.jsonl"]


def test_dry_run_names_inputs_that_are_missing(room: Path, tmp_path: Path, capsys: Any) -> None:
    jobs, clip, motion = tmp_path / "j.jsonl", str(room / "a.mp4"), str(tmp_path / "m.safetensors")
    made = {"command": "reenact", "source": clip, "driving": clip, "save-motion": motion}
    rows = [
        {**made, "source": "none.jpg", "output": "1.mp4"},
        {**made, "output": "2.mp4", "driver": ["1=none.mp4"]},
        {**made, "output": "3.mp4", "background": "#00ff00", "source-face": "all"},
        {"command": "warp", "source": clip, "driving": motion, "output": "4.mp4"},
    ]
    jobs.write_text("\n".join(json.dumps(row) for row in rows))
    assert batch(jobs, "--dry-run", "--json") == 12
    found = json.loads(capsys.readouterr().out)
    assert [(one["job"], one["message"]) for one in found["failures"]] == [
        ("1 reenact", "none.jpg does not exist."),
        ("2 reenact", "none.mp4 does not exist."),
    ]
    assert batch(jobs, "--dry-run") == 12
    said = capsys.readouterr()
    assert said.out.count("\n") == 4 and "1 reenact would fail: none.jpg does not" in said.err


@pytest.mark.parametrize("jobs", ["clips", "jobs.txt", "none.toml"])
def test_jobs_that_cannot_be_read(jobs: str, tmp_path: Path, capsys: Any) -> None:
    assert batch(tmp_path / jobs) in (2, 3)
    assert capsys.readouterr().err.startswith("thcli: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ray-gpus", "1"], "without --ray"),
        (["--ray-cpus", "-1"], "--ray-cpus"),
        (["--ray", "local", "--devices", "cuda:0"], "--devices"),
        (["--devices", "cuda:0,gpu"], "--device"),
        (["--split", "-1"], "--split"),
    ],
)
def test_options_that_do_not_go_together(
    words: list[str], said: str, room: Path, tmp_path: Path, capsys: Any
) -> None:
    command = ["--", "crop", "{}", "-o", tmp_path / "{stem}.mkv"]
    assert batch(f"{room}/a.mp4", "-o", tmp_path / "r.jsonl", *words, *command) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_missing_ray_is_named_before_any_work(room: Path, tmp_path: Path, capsys: Any) -> None:
    command = ["--", "crop", "{}", "-o", tmp_path / "{stem}.mkv"]
    assert batch(f"{room}/a.mp4", "-o", tmp_path / "r.jsonl", "--ray", "auto", *command) == 2
    assert "thcli[ray]" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_interrupted_batch_leaves_no_debris_and_resumes(room: Path, tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.toml"
    shared = f'command = "crop"\nvideo = "{room}/a.mp4"\ncodec = "ffv1"\n'
    jobs.write_text(shared + "".join(f'[[job]]\noutput = "{n}.mkv"\n' for n in range(12)))
    argv = [sys.executable, "-m", "thcli", "batch", "jobs.toml", "--workers", "1"]
    report = tmp_path / "jobs.report.jsonl"
    running = subprocess.Popen(argv, cwd=tmp_path, stderr=subprocess.PIPE)
    while running.poll() is None and not (report.exists() and len(ended(report)) >= 2):
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    done = len(ended(report))
    assert 2 <= done < 12
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    again = subprocess.run([*argv, "--resume", "--json"], cwd=tmp_path, capture_output=True)
    assert again.returncode == 0, report.read_text()
    assert json.loads(again.stdout)["left_out"] == done
    assert len({tuple(packets(tmp_path / f"{n}.mkv")) for n in range(12)}) == 1


def test_worker_keeps_backends_and_answers_each_job(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    loads: list[str] = []
    plain = Backend.import_factory

    def counted(self: Backend) -> Any:
        loads.append(self.factory)
        return plain(self)

    monkeypatch.setattr(Backend, "import_factory", counted)
    orders = [["crop", str(room / "a.mp4"), "-o", str(tmp_path / f"{n}.mkv")] for n in range(2)]
    orders.append(["crop", str(tmp_path / "none.mp4"), "-o", str(tmp_path / "3.mkv")])
    text = "".join(json.dumps({"argv": argv}) + "\n" for argv in orders)
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    before = os.dup(1)
    try:
        assert worker.serve(run) == 0
    finally:
        os.dup2(before, 1)
        os.close(before)
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    stages = [
        json.loads(row["line"])["stage"] for row in rows if '"started"' in row.get("line", "")
    ]
    assert stages.count("write") == 2 or len(stages) >= 2
    answers = [row for row in rows if "line" not in row]
    assert [answer["exit_code"] for answer in answers] == [0, 0, 3]
    assert all(0 < answer["rss"] <= answer["peak"] * 1.1 for answer in answers)
    assert loads and len(loads) == len(set(loads))


class Thing:
    """A backend that counts how often it is built."""

    built = 0

    def __init__(self, *_: object) -> None:
        type(self).built += 1


def test_kept_backends_are_those_of_equal_options() -> None:
    from thcli.core.options import RunOptions

    Thing.built = 0
    row = Backend(f"{__name__}:Thing", "a thing")
    with loaded_backends_kept(most=2):
        first = row.load(RunOptions(), "a")
        assert row.load(RunOptions(), "a") is first
        assert row.load(RunOptions(seed=1), "a") is not first
        assert row.load(RunOptions(), "a") is first
        row.load(RunOptions(), "b")  # the one with the seed goes
        assert row.load(RunOptions(), "a") is first
        row.load(RunOptions(seed=1), "a")
        assert Thing.built == 4
    assert row.load(RunOptions(), "a") is not first
