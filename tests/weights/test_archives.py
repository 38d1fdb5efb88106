"""Untrusted archives, and wheels: members that are extracted, archives that are refused."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.weights.fake_site import entry, store
from thcli import weights
from thcli.core.errors import WeightsError
from thcli.core.events import Event, Step, Warned
from thcli.weights import wheels
from thcli.weights.archives import unpack
from thcli.weights.sources import Transport


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, files: dict[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            info = data if isinstance(data, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(data, bytes):
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data) if isinstance(data, bytes) else None)
    return path


def test_wanted_members_come_out_of_any_top_folder(tmp_path: Path) -> None:
    files = {"top/a.dat": b"a", "top/sub/b.dat": b"b", "top/other.txt": b"c"}
    for archive in (write_zip(tmp_path / "a.zip", files), write_tar(tmp_path / "a.tgz", {**files})):
        out = tmp_path / f"out-{archive.suffix}"
        unpack(archive, ["a.dat", "sub/b.dat"], out)
        assert {
            p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()
        } == {
            "a.dat": b"a",
            "sub/b.dat": b"b",
        }


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "a/../../evil", "C:\\evil", "..\\evil", "C:evil"]
)
def test_an_archive_that_points_outside_is_refused(tmp_path: Path, name: str) -> None:
    for archive in (
        write_zip(tmp_path / "a.zip", {"a": b"a", name: b"x"}),
        write_tar(tmp_path / "a.tar", {"a": b"a", name: b"x"}),
    ):
        with pytest.raises(WeightsError, match="outside of its folder"):
            unpack(archive, ["a"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_and_bombs_are_refused(tmp_path: Path) -> None:
    link = tarfile.TarInfo("a")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(WeightsError, match="a link or a device"):
        unpack(write_tar(tmp_path / "l.tar", {"a": link}), ["a"], tmp_path / "out")
    info = zipfile.ZipInfo("a")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(WeightsError, match="is a link"):
        unpack(tmp_path / "l.zip", ["a"], tmp_path / "out")
    bomb = write_zip(tmp_path / "b.zip", {"a": bytes(5 << 20)})
    assert bomb.stat().st_size < 10_000
    with pytest.raises(WeightsError, match="more than 1000000 bytes"):
        unpack(bomb, ["a"], tmp_path / "out", limit=1_000_000)


def test_missing_doubled_and_broken_archives_are_named(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"x/a": b"1", "y/a": b"2"})
    with pytest.raises(WeightsError, match=r"a\.zip has 2 members named a"):
        unpack(archive, ["a"], tmp_path / "out")
    with pytest.raises(WeightsError, match=r"a\.zip has no member b"):
        unpack(archive, ["b"], tmp_path / "out")
    (tmp_path / "cut.zip").write_bytes(archive.read_bytes()[:40])
    with pytest.raises(WeightsError, match="not a whole zip or tar"):
        unpack(tmp_path / "cut.zip", ["a"], tmp_path / "out")
    damaged = bytearray(write_tar(tmp_path / "d.tgz", {"a": os.urandom(50_000)}).read_bytes())
    (tmp_path / "d.tgz").write_bytes(damaged[:30_000])
    with pytest.raises(WeightsError, match="not a whole zip or tar"):
        unpack(tmp_path / "d.tgz", ["a"], tmp_path / "out")


def test_an_archive_is_imported_as_its_members(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "pack.zip", {"pack/a.dat": b"aa", "pack/b.dat": b"bb"})
    digest = sha(archive.read_bytes())
    row = entry(
        "pack",
        file="p.zip",
        format="zip",
        sha256=digest,
        members={"a.dat": sha(b"aa"), "b.dat": ""},
    )
    wrong = entry("wrong", file="p.zip", format="zip", sha256=digest, members={"a.dat": sha(b"xx")})
    cache = store(tmp_path, row, wrong)
    folder = weights.import_file("pack", archive, store=cache)
    assert sorted(p.name for p in folder.iterdir()) == [".verified.json", "a.dat", "b.dat"]
    assert weights.locate("pack", store=cache) == folder
    (folder / ".verified.json").unlink()
    assert weights.verify(["pack"], store=cache)[0].status == "ready"
    (folder / "b.dat").write_bytes(b"b!")  # its hash was learnt from the verified archive
    found = weights.verify(["pack"], store=cache)[0]
    assert (found.status, found.differences) == ("altered", (("b.dat", sha(b"bb"), sha(b"b!")),))
    with pytest.raises(WeightsError, match=r"a\.dat in .* has sha256"):
        weights.import_file("wrong", archive, store=cache)
    assert weights.cached_path("wrong", store=cache) is None


def test_a_refused_import_names_the_file_of_the_user(tmp_path: Path) -> None:
    given = tmp_path / "my x2face.safetensors"
    given.write_bytes(b"no archive")
    row = entry("pack", file="p.tar.gz", format="zip", sha256="", members={"a.dat": ""})
    cache = store(tmp_path, row)
    with pytest.raises(WeightsError, match=r"my x2face\.safetensors is not a whole zip") as caught:
        weights.import_file("pack", given, trust=True, store=cache)
    assert "partial" not in str(caught.value)
    assert not cache.folder(row).exists()


class FakePip:
    """Replacement for pip that writes a wheel of the given files."""

    def __init__(
        self, files: dict[str, bytes], platform: str = "manylinux_2_28_x86_64", output: str = ""
    ) -> None:
        self.files, self.platform, self.output = files, platform, output
        self.calls: list[list[str]] = []

    def __call__(
        self, arguments: Sequence[str], folder: Path, on_progress: Callable[[int], None]
    ) -> tuple[int, str]:
        self.calls.append(list(arguments))
        on_progress(5)
        if self.output:
            return 1, self.output
        if arguments[arguments.index("--platform") + 1] != self.platform:
            return 1, "ERROR: No matching distribution found for pkg==1.0\n"
        write_zip(folder / f"pkg-1.0-cp311-cp311-{self.platform}.whl", self.files)
        return 0, ""


def test_one_wheel_serves_all_its_entries(tmp_path: Path) -> None:
    files = {"pkg/a.dat": b"aa", "pkg/b.dat": b"bb", "pkg/c.dat": b"changed"}
    cache = store(
        tmp_path,
        *(
            entry(n, sha256=sha(2 * n.encode()), sources=[f"wheel:pkg==1.0/pkg/{n}.dat"])
            for n in "abc"
        ),
        entry("d", sources=["wheel:pkg==1.0/pkg/d.dat"]),
    )
    pip, events = FakePip(files), list[Event]()
    assert (
        weights.pull(["b"], on=events.append, store=cache, transport=Transport(pip=pip))[
            "b"
        ].read_bytes()
        == b"bb"
    )
    assert weights.locate("a", store=cache).read_bytes() == b"aa"  # the other one came along
    assert len(pip.calls) == 1 and Step("pull pkg==1.0", 5) in events
    assert next(e.message for e in events if isinstance(e, Warned)).startswith(
        "c: the hash is wrong"
    )
    assert not list(cache.root.glob(".wheel*"))
    with pytest.raises(WeightsError, match="c: the hash is wrong"):
        weights.pull(["c"], store=cache, transport=Transport(pip=pip))
    with pytest.raises(WeightsError, match=r"has no member .*d\.dat"):
        weights.pull(["d"], trust=True, store=cache, transport=Transport(pip=pip))


def test_other_tags_are_asked_for_when_the_first_is_not_there(tmp_path: Path) -> None:
    pip = FakePip({"a": b"aa"}, platform="win_amd64")
    cache = store(tmp_path, entry("a", sha256=sha(b"aa"), sources=["wheel:pkg==1.0/a"]))
    weights.pull(["a"], store=cache, transport=Transport(pip=pip))
    assert len(pip.calls) == len(wheels.TAGS)
    assert all("--only-binary=:all:" in a and "--no-deps" in a for a in pip.calls)


def test_pip_failing_is_told_in_its_own_words(tmp_path: Path) -> None:
    pip = FakePip(
        {},
        output="Looking in indexes\nERROR: Could not install, an OSError: no route.\n\n",
    )
    cache = store(tmp_path, entry("a", sha256=sha(b"aa"), sources=["wheel:pkg==1.0/a"]))
    with pytest.raises(
        WeightsError, match=r"pip could not download pkg==1\.0: ERROR: .* no route\."
    ) as error:
        weights.pull(["a"], store=cache, transport=Transport(pip=pip))
    assert len(pip.calls) == 1 and "pip config list" in error.value.hint


def test_a_wheel_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.whl").write_bytes(b"not a zip")
    with pytest.raises(WeightsError, match="is not a wheel"):
        wheels.extract_members(tmp_path / "x.whl", {"a": tmp_path / "a"})


def test_the_real_pip_runs_and_reports_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(WeightsError, match="pip could not download thcli-no-such-thing==1"):
        wheels.download_wheel("thcli-no-such-thing==1", tmp_path, "pull it")


def test_some_pip_is_found_without_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert wheels.pip_command() == [sys.executable, "-m", "pip"]
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "uv").write_text("#!/bin/sh\n")
    (tools / "uv").chmod(0o755)
    monkeypatch.setattr(wheels, "find_spec", lambda name: None)
    monkeypatch.setattr("sysconfig.get_config_var", lambda name: None)
    monkeypatch.setenv("PATH", str(tools))
    assert wheels.pip_command() == [str(tools / "uv"), "tool", "run", "pip"]
    (tools / "uv").unlink()
    with pytest.raises(WeightsError, match="no pip") as error:
        wheels.pip_command()
    assert "ensurepip" in error.value.hint


def test_the_trackers_models_come_from_the_real_wheel(tmp_path: Path) -> None:
    """The cache of this machine is used; an absent file is downloaded, as `make demo` does."""
    path = weights.locate("facemesh-attention")
    assert path.stat().st_size == weights.registry()["facemesh-attention"].size
    assert path.read_bytes()[4:8] == b"TFL3"


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "bomb.zip", {"a.dat": bytes(100 << 20)})
    assert archive.stat().st_size < 1 << 20
    with pytest.raises(WeightsError, match="unpacks to more than"):
        unpack(archive, ["a.dat"], tmp_path / "out")


@pytest.mark.parametrize("damage", [b"\xff\xfe.dat", b"\x00\x00.dat"])
def test_a_damaged_name_is_one_sentence(damage: bytes, tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "x.zip", {"\u00e9.dat": b"a", "b.dat": b"b"})
    archive.write_bytes(archive.read_bytes().replace("\u00e9.dat".encode(), damage))
    with pytest.raises(WeightsError, match=r"x\.zip"):
        unpack(archive, ["a.dat"], tmp_path / "out")
