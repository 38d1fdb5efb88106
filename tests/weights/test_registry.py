"""weights.toml: every row is right, and a wrong one is refused by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from thcli import weights
from thcli.core.errors import UsageError, WeightsError
from thcli.pipeline.backends import STAGES
from thcli.weights.registry import LARGEST_AUTO, find, parse, read

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


def test_the_registry_holds_the_defaults_and_the_official_checkpoints() -> None:
    entries = weights.registry()
    automatic = [e.name for e in entries.values() if e.auto and "wheel:" in "".join(e.sources)]
    assert automatic[:6] == [
        "blazeface-short",
        "blazeface-full",
        "facemesh",
        "facemesh-attention",
        "iris",
        "selfie",
    ]
    systems = {e.provides for e in entries.values()}
    assert {
        "engine:fomm",
        "engine:monkeynet",
        "engine:x2face",
        "engine:facevid2vid",
        "engine:liveportrait",
        "engine:real3d",
        "refiner:fadm",
        "editor:dva",
        "voice:diffused-heads",
        "identity:insightface",
        "parser:facexlib",
        "landmarker:face-alignment",
        "audio:hubert",
        "text:clip",
        "metric:lpips",
        "metric:syncnet",
        "detector:yunet",
    } <= systems
    assert len(weights.select(entries, ["engine:liveportrait"])) == 6


@pytest.mark.parametrize("entry", weights.registry().values(), ids=lambda e: e.name)
def test_each_row_is_honest(entry: weights.Entry) -> None:
    for digest in (entry.sha256, *entry.members.values()):
        assert digest == "" or re.fullmatch(r"[0-9a-f]{64}", digest)
    restricted = r"non-commercial|NC|none stated|nothing is said|no terms of their own|research|academic|EG3D"
    assert entry.commercial != bool(re.search(restricted, entry.licence)), (
        "the flag contradicts the licence's words"
    )
    if entry.auto:
        assert entry.commercial and entry.sha256 and 0 < entry.size <= LARGEST_AUTO
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
    assert weights.allowed(entries["facemesh"], "free") and weights.allowed(
        entries["yunet"], "free"
    )
    for name in ("insightface-buffalo-l", "fomm-vox", "facevid2vid", "dva", "deca", "monkeynet"):
        assert not weights.allowed(entries[name], "free") and weights.allowed(entries[name], "any")


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
        ({"auto": True, "size": LARGEST_AUTO + 1}, "auto must be false unless"),
    ],
)
def test_a_bad_row_is_named(change: dict[str, Any], said: str) -> None:
    assert parse("a", GOOD).name == "a"
    table = {k: v for k, v in {**GOOD, **change}.items() if v is not None}
    with pytest.raises(WeightsError) as error:
        parse("a", table)
    assert error.value.message.startswith("weights.toml: [a] ") and said in error.value.message


def test_a_broken_registry_is_named(tmp_path: Path) -> None:
    (tmp_path / "w.toml").write_text("[a]\nfile = 1\n[a]\n")
    with pytest.raises(WeightsError, match="not valid TOML"):
        read(tmp_path / "w.toml")
    (tmp_path / "v.toml").write_text("a = 1\n")
    with pytest.raises(WeightsError, match="'a' must be a table"):
        read(tmp_path / "v.toml")
    with pytest.raises(WeightsError, match="cannot be read"):
        read(tmp_path / "none.toml")
    with pytest.raises(WeightsError, match="not a name"):
        parse("A b", GOOD)


def test_an_unknown_name_is_met_with_the_nearest_ones() -> None:
    with pytest.raises(UsageError, match="no weights named 'facemsh'") as error:
        find(weights.registry(), "facemsh")
    assert "facemesh" in error.value.hint
