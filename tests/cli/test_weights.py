"""`thcli weights ...`: output and exit codes, with the real registry and an empty cache."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from thcli import weights
from thcli.cli.weights import app
from thcli.core.errors import ThcliError, UsageError, WeightsError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "cache"))
    monkeypatch.setenv("THCLI_OFFLINE", "1")
    return tmp_path / "cache"


errors: list[ThcliError] = []


def run(*argv: str) -> int:
    """Return the exit code that `cli.run` gives."""
    try:
        typer.main.get_command(app).main(
            list(argv), prog_name="thcli weights", standalone_mode=False
        )
    except ThcliError as error:
        errors.append(error)
        return error.exit_code
    return 0


def last_hint() -> str:
    """Return the hint of the last error that `run` met."""
    return errors[-1].hint


def rows(text: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(text)["weights"]}


def test_list_shows_every_entry_with_its_state(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("list") == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == list(weights.registry())
    states = {line[0]: line[4] for line in lines}
    shown = [states[name] for name in ("selfie", "fomm-vox", "fadm-diffusion", "fadm-s")]
    assert shown == ["at first use", "absent", "by hand", "ready"]
    sizes = {line[0]: line[1] for line in lines}
    assert (sizes["insightface-buffalo-l"], sizes["blazeface-short"]) == ("289 MB", "230 kB")
    assert (sizes["tddfa-mean-std"], sizes["fomm-vox"]) == ("713 bytes", "?")


def test_list_json_and_licence(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--json", "--licence", "free") == 0
    found = rows(capsys.readouterr().out)
    assert found["selfie"]["commercial"] and found["selfie"]["state"] == "at first use"
    assert all(row["commercial"] for row in found.values()) and "fomm-vox" not in found


def test_offline_pull_exits_5_and_names_each_file(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("pull", "--json") == 5
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    automatic = [e for e in weights.registry().values() if e.auto]
    assert len(report["failed"]) == len(automatic) and "--offline" in report["failed"][0]
    assert "230 kB from mediapipe==0.10.21 (Apache-2.0)" in captured.err
    assert run("pull", "facemesh-attention", "--offline") == 5
    assert run("pull", "no-such-thing") == 2
    assert not cache.exists() or not list(cache.rglob("*.tflite"))


def test_pull_prints_restrictions_before_it_starts(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("pull", "facevid2vid") == 5
    said = capsys.readouterr().err
    assert "2.1 GB from huggingface.co (CC BY-NC 4.0; restricted use, read its terms)" in said


def test_a_users_checkpoint_is_imported_checked_located_and_removed(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "own.pth"
    linear = {
        f"lin{i}.model.1.weight": torch.ones(1, width, 1, 1)
        for i, width in enumerate((64, 192, 384, 256, 256))
    }
    torch.save({**linear, "optimizer": {"v": torch.zeros(1)}}, file)
    assert run("import", "lpips-alex", str(file)) == 5
    assert "thcli weights import lpips-alex FILE --trust" in last_hint()
    assert run("where", "lpips-alex") == 5
    assert run("import", "lpips-alex", str(file), "--trust") == 0
    capsys.readouterr()
    assert run("where", "lpips-alex") == 0
    where = Path(capsys.readouterr().out.strip())
    assert where.parent == cache / "lpips-alex"
    assert where.read_bytes() == file.read_bytes()
    assert set(weights.load_tensors("lpips-alex", "numpy")) == set(linear)
    assert run("verify") == 0
    assert "lpips-alex\tready" in capsys.readouterr().out
    where.write_bytes(b"x")
    assert run("verify", "--json") == 5
    assert rows(capsys.readouterr().out)["lpips-alex"]["state"] == "altered"
    assert run("remove", "lpips-alex") == 0 and not where.exists()
    assert run("verify", "lpips-alex") == 5


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("fomm-vox", b"garbage" * 100, "not a whole PyTorch checkpoint|is refused"),
        ("yunet", b"garbage" * 100, "is not a file of the format onnx"),
        ("facemesh-attention", b"garbage" * 100, "is not a file of the format tflite"),
        ("tddfa-mean-std", b"garbage" * 100, "is refused|not a whole pickle"),
        ("parse-s", b"garbage" * 100, "is not a file of the format safetensors"),
        ("x2face", b"garbage" * 100, "not a whole zip or tar archive"),
        ("fomm-vox", b"<html><title>Log in</title>", "is an HTML page"),
        ("fomm-vox", b"", "is an empty file"),
    ],
)
def test_garbage_is_refused_even_with_trust(
    cache: Path, tmp_path: Path, name: str, body: bytes, message: str
) -> None:
    (tmp_path / "file").write_bytes(body)
    assert run("import", name, str(tmp_path / "file"), "--trust") == 5
    assert re.search(message, errors[-1].message)
    assert not [p for p in cache.rglob("*") if p.is_file() and p.suffix != ".lock"]


def test_a_checkpoint_of_another_network_is_refused_with_trust(cache: Path, tmp_path: Path) -> None:
    source = weights.locate("parse-s")
    assert run("import", "liveportrait-motion", str(source), "--trust") == 5
    assert "liveportrait-motion (MotionExtractor) does not fit" in errors[-1].message
    assert errors[-1].hint == "This looks like parse-s: thcli weights import parse-s FILE"
    assert not [
        p for p in (cache / "liveportrait-motion").rglob("*") if p.is_file() and p.suffix != ".lock"
    ]
    assert run("import", "parse-s", str(source), "--trust") == 0


def test_a_backend_stands_for_all_its_rows(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("liveportrait", "engine:liveportrait"):
        assert run("pull", name, "--json") == 5
        failed = json.loads(capsys.readouterr().out)["failed"]
        assert len(failed) == 5 and all("liveportrait-" in text for text in failed)
    assert run("pull", "real3d", "--trust", "--json") == 5
    failed = json.loads(capsys.readouterr().out)["failed"]
    rows = ["real3d", "real3d-video", "bfm", "selfie", "hubert-large"]
    assert [next(word for word in text.split() if word in rows) for text in failed] == rows
    assert run("pull", "drawn") == 0
    assert "drawn: no weights are needed." in capsys.readouterr().err
    assert run("verify", "liveportrait") == 5


def test_the_files_of_a_backend_are_found_in_a_folder(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "downloads"
    (folder / "deep").mkdir(parents=True)
    file = folder / "deep" / "alex.pth"
    assert run("import", "lpips", str(folder), "--trust") == 5
    assert last_hint().startswith("Their names are alex")
    linear = {
        f"lin{i}.model.1.weight": torch.ones(1, width, 1, 1)
        for i, width in enumerate((64, 192, 384, 256, 256))
    }
    torch.save(linear, file)
    other = file.rename(folder / "mine.pth")
    assert run("import", "lpips", str(other), "--trust") == 2
    assert "lpips has several weights: " in errors[-1].message
    other.rename(file)
    for path in (folder, file):
        assert run("import", "lpips", str(path), "--trust") == 0
    assert capsys.readouterr().err.count("lpips-alex: ") == 4  # two warnings, two results
    shutil.copy(file, folder)
    assert run("import", "lpips", str(folder), "--trust") == 5
    assert "has several files alex.pth" in errors[-1].message


def lpips_file(path: Path, widths: tuple[int, ...]) -> None:
    tensors = {f"lin{i}.model.1.weight": torch.ones(1, w, 1, 1) for i, w in enumerate(widths)}
    torch.save(tensors, path)


def test_a_folder_of_several_files(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    lpips_file(folder / "alex.pth", (64, 192, 384, 256, 256))
    lpips_file(folder / "vgg.pth", (64, 128, 256, 512, 512))
    (folder / "alexnet-owt-7be5be79.pth").mkdir()  # not a file
    assert run("import", "lpips", str(folder), "--trust", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in report["weights"]] == ["lpips-alex", "lpips-vgg"]
    assert "name" not in report and report["failed"] == []
    assert "lpips needs these too: alexnet, vgg16." in report["warnings"]
    (folder / "alex.pth").write_bytes(b"broken")  # the other one is imported all the same
    assert run("import", "lpips", str(folder), "--trust", "--json") == 5
    report = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in report["weights"]] == ["lpips-vgg"] and report["failed"]


def test_the_report_of_one_file_has_its_name_and_path(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lpips_file(tmp_path / "mine.pth", (64, 192, 384, 256, 256))
    argv = ("import", "lpips-alex", str(tmp_path / "mine.pth"), "--trust", "--json")
    assert run(*argv) == 0
    report = json.loads(capsys.readouterr().out)
    assert [{"name": report["name"], "path": report["path"]}] == report["weights"]
    assert not any("needs these" in text for text in report["warnings"])


def test_a_name_of_weights_and_of_a_backend_takes_a_folder(cache: Path, tmp_path: Path) -> None:
    assert run("import", "dh-s", str(tmp_path), "--trust") == 5
    assert "has no file of dh-s" in errors[-1].message
    (tmp_path / "dh-s.safetensors").touch()
    assert weights.files_to_import("dh-s", tmp_path, {"dh-s": ()}) == {
        "dh-s": tmp_path / "dh-s.safetensors"
    }


def test_a_file_with_the_name_of_other_weights_is_refused(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "vox-cpk.pth.tar"
    file.touch()
    assert run("import", "fomm", str(file), "--trust") == 2
    assert "has the name of fomm-vox" in errors[-1].message
    assert last_hint() == "Import it as such: thcli weights import fomm-vox FILE"


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("fadm-diffusion", "When you have it: thcli weights import fadm-diffusion FILE --trust"),
        ("fomm-vox", "Get them: thcli weights pull fomm-vox --trust"),
        ("yunet", "Get them: thcli weights pull yunet"),
    ],
)
def test_the_hint_is_a_command_that_works(cache: Path, name: str, command: str) -> None:
    for argv in (("where", name), ("verify", name)):
        assert run(*argv) == 5
        assert last_hint() == command


def test_a_network_is_exported_as_onnx(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "identity.onnx"
    assert run("export", "identity-s", "-o", str(path), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["inputs"] == ["images"] and 0 <= report["difference"] < 1e-4
    assert path.stat().st_size > 1 << 20
    assert run("export", "identity-s", "-o", str(path)) == 7
    assert run("export", "clip-s") == UsageError.exit_code
    assert "its two encoders" in errors[-1].message and "parse-s" in last_hint()


def test_where_without_a_name_is_the_folder(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("where") == 0
    assert capsys.readouterr().out.strip() == str(cache)
    assert run("where", "--json") == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(cache)


@pytest.mark.parametrize(
    "argv", [("where", "nothing"), ("remove", "nothing"), ("import", "nothing", "x")]
)
def test_unknown_names_are_usage_errors(cache: Path, argv: tuple[str, ...]) -> None:
    assert run(*argv) == UsageError.exit_code


def test_missing_files_are_weights_errors(cache: Path, tmp_path: Path) -> None:
    assert run("import", "fomm-vox", str(tmp_path / "none")) == WeightsError.exit_code
    assert "cannot be read: No such file" in errors[-1].message
    assert last_hint() == "Give an existing file: thcli weights import fomm-vox FILE"
