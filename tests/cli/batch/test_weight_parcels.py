"""Weights that travel to machines which lack them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from thcli.cli.batch.weight_parcels import installed_weights, missing_weights, pack, unpack
from thcli.core.errors import WeightsError
from thcli.weights.registry import registry
from thcli.weights.store import WeightsStore

CONTENT = b"weights" * 100


def stores(tmp_path: Path) -> tuple[WeightsStore, WeightsStore]:
    """Return a store that has the weights "w", and one that lacks them."""
    plain = next(e for e in registry().values() if not e.archive and e.remote_sources)
    digest = hashlib.sha256(CONTENT).hexdigest()
    entry = replace(plain, name="w", sha256=digest, size=len(CONTENT))
    here, there = (WeightsStore(tmp_path / name, {"w": entry}) for name in ("here", "there"))
    here.folder(entry).mkdir(parents=True)
    here.path(entry).write_bytes(CONTENT)
    return here, there


def test_missing_weights_arrive_verified(tmp_path: Path) -> None:
    here, there = stores(tmp_path)
    assert installed_weights(here) == ["w"] and installed_weights(there) == []
    assert missing_weights(there, ["w", "unknown"]) == ["w"]
    unpack(there, "w", pack(here, "w"))
    assert missing_weights(there, ["w"]) == []
    assert there.status(there.entries["w"]) == "ready"


def test_an_empty_folder_holds_no_weights(tmp_path: Path) -> None:
    here, _ = stores(tmp_path)
    archive = replace(here.entries["w"], name="a", format="zip", members={"part": "0" * 64})
    store = WeightsStore(here.root, {"a": archive})
    store.folder(archive).mkdir(parents=True)
    assert installed_weights(store) == []


def test_altered_weights_are_refused(tmp_path: Path) -> None:
    here, there = stores(tmp_path)
    parcel = pack(here, "w")
    name = here.entries["w"].file
    with pytest.raises(WeightsError, match="altered"):
        unpack(there, "w", {**parcel, "files": {name: b"others"}, "trusted": {"own": True}})
    assert missing_weights(there, ["w"]) == ["w"] and there.trusted() == {}
    for wrong in ("../x", "/x", "..\\x", "C:x"):
        with pytest.raises(WeightsError, match="outside"):
            unpack(there, "w", {**parcel, "files": {name: CONTENT, wrong: CONTENT}})
    assert missing_weights(there, ["w"]) == ["w"]
    assert not (tmp_path / "there" / "x").exists()
    unpack(there, "w", parcel)
    unpack(there, "w", {**parcel, "files": {name: b"of a second worker"}})
    assert there.status(there.entries["w"]) == "ready"
