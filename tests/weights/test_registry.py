"""weights.toml: each row is valid and used; an invalid one is refused by name."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from thcli import weights
from thcli.core.errors import UsageError, WeightsError
from thcli.pipeline.backends import STAGES
from thcli.weights.registry import MAX_AUTO_SIZE, find_entry, parse_entry, read_registry

GOOD: dict[str, Any] = {
    "file": "a.onnx",
    "licence": "MIT",
    "commercial": True,
    "provides": "engine:a",
    "format": "onnx",
    "sha256": "0" * 64,
    "size": 5,
    "sources": ["https://example.org/a.onnx"],
}


def test_the_registry_has_the_defaults_and_the_official_checkpoints() -> None:
    entries = weights.registry()
    assert [e.name for e in entries.values() if e.auto and "wheel:" in "".join(e.sources)] == [
        "blazeface-short",
        "blazeface-full",
        "facemesh-attention",
        "selfie",
        "palm",
        "hand",
    ]
    assert {
        "engine:fomm",
        "engine:monkeynet",
        "engine:x2face",
        "engine:facevid2vid",
        "engine:liveportrait",
        "refiner:fadm",
        "editor:dva",
        "voice:real3d",
        "voice:diffused-heads",
        "identity:insightface",
        "parser:facexlib",
        "landmarker:face-alignment",
        "audio:hubert",
        "text:clip-b32",
        "metric:lpips",
        "detector:yunet",
    } <= {e.provides for e in entries.values()}


def _loader_constants() -> set[str]:
    """Return the string constants of modules that import a loader of weights."""
    package = Path(weights.__file__).parents[1]
    found: set[str] = set()
    for path in package.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        imports = {
            f"{node.module}.{alias.name}"
            for node in nodes
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        table = {"thcli.weights.backend.Backend", "thcli.weights.backend.Stage"}
        loaders = {i for i in imports if i.startswith("thcli.weights")} - table
        if (
            loaders
            and package / "weights" not in path.parents
            and package / "cli" not in path.parents
        ):
            found |= {
                node.value
                for node in nodes
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
    return found


def test_every_row_is_loaded_by_code() -> None:
    """A row is named by a backend's `weights`, or in a module that imports a loader."""
    backends = [b for stage in STAGES.values() for b in stage.rows.values()]
    used = {name for backend in backends for name in backend.weights} | _loader_constants()
    assert [name for name in weights.registry() if name not in used] == []


def test_provides_names_the_backend_that_loads_the_row() -> None:
    for entry in weights.registry().values():
        stage, _, name = entry.provides.partition(":")
        loading = [
            f"{s}:{n}"
            for s, it in STAGES.items()
            for n, backend in it.rows.items()
            if entry.name in backend.weights
        ]
        if stage in STAGES:  # others are audio features, metrics and losses
            assert name in STAGES[stage].rows, entry.name
            assert not loading or entry.provides in loading, f"{entry.name}: {loading}"


@pytest.mark.parametrize("entry", weights.registry().values(), ids=lambda e: e.name)
def test_the_flags_of_each_row_agree_with_its_licence(entry: weights.WeightsEntry) -> None:
    for digest in (entry.sha256, *entry.members.values()):
        assert digest == "" or re.fullmatch(r"[0-9a-f]{64}", digest)
    words = "non-commercial|NC|none stated|nothing is said|no terms of their own"
    restricted = f"{words}|research|academic|EG3D"
    assert entry.commercial != bool(re.search(restricted, entry.licence)), (
        "the flag contradicts the licence's words"
    )
    if entry.auto:
        assert entry.commercial and entry.sha256 and 0 < entry.size <= MAX_AUTO_SIZE
    if not entry.sources:
        assert re.search(r"https?://", entry.about), "there must be a way to get it by hand"


def test_hashes_are_not_shared_by_different_files() -> None:
    known = [e.sha256 for e in weights.registry().values() if e.sha256]
    assert len(known) == len(set(known))


def test_backends_name_weights_that_exist() -> None:
    named = {
        name for stage in STAGES.values() for row in stage.rows.values() for name in row.weights
    }
    assert named <= set(weights.registry())


def test_licence_free_leaves_out_what_is_restricted() -> None:
    entries = weights.registry()
    for name in ("facemesh-attention", "yunet"):
        assert weights.is_allowed(entries[name], "free")
    for name in ("insightface-buffalo-l", "fomm-vox", "facevid2vid", "dva", "deca", "monkeynet"):
        assert not weights.is_allowed(entries[name], "free")
        assert weights.is_allowed(entries[name], "any")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"name": "b"}, "unknown key 'name'"),
        ({"licence": None}, "licence must be given"),
        ({"licence": ""}, "licence must be given"),
        ({"commercial": "yes"}, "commercial must be true or false"),
        ({"about": 5}, "about must be text"),
        ({"size": -1}, "size must be a number of bytes"),
        ({"size": True}, "size must be a number of bytes"),
        ({"sha256": "abc"}, "sha256 must be 64 small hex digits"),
        ({"sha256": "A" * 64}, "sha256 must be 64 small hex digits"),
        ({"file": "../a"}, "file must be a plain file name"),
        ({"file": ".hidden"}, "file must be a plain file name"),
        ({"provides": "engine"}, "provides must be of the form stage:backend"),
        ({"format": "exe"}, "format must be one of"),
        ({"sources": "https://example.org/a"}, "sources must be a list"),
        ({"sources": ["http://example.org/a"]}, "sources must be bundled:, wheel:"),
        ({"sources": ["file:///etc/passwd"]}, "sources must be bundled:, wheel:"),
        ({"sources": ["bundled:../x"]}, "sources must be bundled:, wheel:"),
        ({"sources": ["hf:name/file"]}, "sources must be bundled:, wheel:"),
        ({"sources": []}, "about must be given where there is no source"),
        ({"members": {"a": ""}}, "members must be given for archives, and only for them"),
        ({"format": "zip"}, "members must be given for archives"),
        ({"format": "zip", "members": {"../a": ""}}, "members must be relative files"),
        ({"format": "zip", "members": {"a": "12"}}, "members must be hashes or empty"),
        ({"auto": True, "sha256": ""}, "auto must be false unless"),
        ({"auto": True, "commercial": False}, "auto must be false unless"),
        ({"auto": True, "size": MAX_AUTO_SIZE + 1}, "auto must be false unless"),
    ],
)
def test_a_bad_row_is_named(change: dict[str, Any], said: str) -> None:
    assert parse_entry("a", GOOD).name == "a"
    table = {k: v for k, v in {**GOOD, **change}.items() if v is not None}
    with pytest.raises(WeightsError) as error:
        parse_entry("a", table)
    assert error.value.message.startswith("weights.toml: [a] ") and said in error.value.message


def test_a_broken_registry_is_named(tmp_path: Path) -> None:
    (tmp_path / "w.toml").write_text("[a]\nfile = 1\n[a]\n")
    with pytest.raises(WeightsError, match="not valid TOML"):
        read_registry(tmp_path / "w.toml")
    (tmp_path / "v.toml").write_text("a = 1\n")
    with pytest.raises(WeightsError, match="'a' must be a table"):
        read_registry(tmp_path / "v.toml")
    with pytest.raises(WeightsError, match="cannot be read"):
        read_registry(tmp_path / "none.toml")
    with pytest.raises(WeightsError, match="not a name"):
        parse_entry("A b", GOOD)


def test_an_unknown_name_is_answered_with_similar_ones() -> None:
    with pytest.raises(UsageError, match="no weights named 'facemesh-atention'") as error:
        find_entry(weights.registry(), "facemesh-atention")
    assert "facemesh-attention" in error.value.hint


def test_backends_and_stages_select_their_rows() -> None:
    entries = weights.registry()

    def names(*given: str, **groups: tuple[str, ...]) -> list[str]:
        return [e.name for e in weights.select_entries(entries, given, groups)]

    portrait = [f"liveportrait-{p}" for p in ("appearance", "motion", "warping", "spade")]
    portrait += ["liveportrait-stitching"]
    assert names("engine:liveportrait") == names("liveportrait") == portrait
    assert names("facevid2vid") == ["facevid2vid"]
    both = ["real3d", "real3d-video", "hubert-large"]
    assert names("real3d", real3d=("real3d", "hubert-large")) == both
    assert names("dva") == ["dva", "dva-classifier"]
    assert names("drawn", drawn=()) == []
    with pytest.raises(UsageError, match="no weights named 'liveportrai'") as error:
        names("liveportrai", liveportrait=())
    assert "liveportrait" in error.value.hint
