"""Content Credentials, signed with a certificate made here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.options import OutputOptions, ProvenanceOptions
from thcli.media.provenance.content_credentials import PACKAGE, read_credentials
from thcli.media.provenance.marks import check_signable
from thcli.media.writing.provenance import Provenance

LEAF = """basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, emailProtection
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""
KEYS = {
    "es256": ("EC", "ec_paramgen_curve:P-256"),
    "es384": ("EC", "ec_paramgen_curve:P-384"),
    "ps256": ("RSA", "rsa_keygen_bits:2048"),
}


def write_frames(path: Path, options: ProvenanceOptions, output: OutputOptions) -> None:
    """Write five grey frames."""
    plan = media.WritePlan(provenance=Provenance("speak", options=options), fingerprint="same")
    with media.write(path, (64, 64), options=output, plan=plan) as out:
        for index in range(5):
            out.write(np.full((64, 64, 3), 40 * index, np.uint8), index)


def make_chain(folder: Path, kind: str) -> tuple[Path, Path]:
    """Make a certificate authority, a signer's certificate and its key; return chain and key."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], check=True, cwd=folder, capture_output=True)

    name, parameter = KEYS[kind]
    subject = ("-subj", "/O=Test Studio/CN=Test Signer")
    (folder / "leaf.cnf").write_text(LEAF)
    for who in ("ca", "leaf"):
        openssl("genpkey", "-algorithm", name, "-pkeyopt", parameter, "-out", f"{who}.key")
    use = ("-addext", "keyUsage=critical,keyCertSign")
    authority = ("-subj", "/O=Test/CN=Test CA")
    openssl("req", "-x509", "-new", "-key", "ca.key", *authority, *use, "-out", "ca.pem")
    openssl("req", "-new", "-key", "leaf.key", *subject, "-out", "leaf.csr")
    issuer = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "leaf.cnf")
    openssl("x509", "-req", "-in", "leaf.csr", *issuer, "-out", "leaf.pem")
    chain = folder / "chain.pem"
    chain.write_text((folder / "leaf.pem").read_text() + (folder / "ca.pem").read_text())
    return chain, folder / "leaf.key"


def options_with(chain: Path, key: Path) -> ProvenanceOptions:
    """Return the options of a signed output."""
    return ProvenanceOptions(consent="A. Smith, 2026", c2pa=chain, c2pa_key=key)


class TestSigned:
    """With c2pa-python and openssl."""

    @pytest.fixture(autouse=True)
    def _needs(self) -> None:
        pytest.importorskip(PACKAGE)
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")

    @pytest.mark.parametrize("kind", KEYS)
    def test_a_manifest_is_read_back(self, tmp_path: Path, kind: str) -> None:
        options = options_with(*make_chain(tmp_path, kind))
        path = tmp_path / "out.mp4"
        write_frames(path, options, OutputOptions())
        found = read_credentials(path)
        assert found["present"] and found["state"] == "valid"
        assert (found["signer"], found["issuer"]) == ("Test Signer", "Test Studio")
        assert found["note"]["consent"] == ["A. Smith, 2026"]
        assert found["note"]["command"] == "speak" and found["generator"].startswith("thcli ")
        assert len(list(media.read(path))) == 5
        assert not list(tmp_path.glob(".*"))

    def test_a_change_is_noticed(self, tmp_path: Path) -> None:
        options = options_with(*make_chain(tmp_path, "es256"))
        path = tmp_path / "out.mp4"
        write_frames(path, options, OutputOptions())
        data = path.read_bytes()
        start = data.index(b"mdat") + 200
        path.write_bytes(data[:start] + bytes([data[start] ^ 1]) + data[start + 1 :])
        assert read_credentials(path)["state"] == "invalid"

    @pytest.mark.parametrize("suffix", [".mov", ".gif", ".avi"])
    def test_other_containers_hold_one(self, tmp_path: Path, suffix: str) -> None:
        options = options_with(*make_chain(tmp_path, "es256"))
        path = tmp_path / f"out{suffix}"
        write_frames(path, options, OutputOptions())
        assert read_credentials(path)["state"] == "valid"

    def test_a_resumable_output_has_the_same_packets(self, tmp_path: Path) -> None:
        options = options_with(*make_chain(tmp_path, "es256"))
        for name, resume in (("plain.mp4", False), ("resumed.mp4", True)):
            write_frames(tmp_path / name, options, OutputOptions(resume=resume))
        plain, resumed = (list(media.read(tmp_path / n)) for n in ("plain.mp4", "resumed.mp4"))
        for one, other in zip(plain, resumed, strict=True):
            np.testing.assert_array_equal(one.pixels, other.pixels)
        assert read_credentials(tmp_path / "resumed.mp4")["state"] == "valid"

    def test_a_file_without_one(self, tmp_path: Path) -> None:
        write_frames(tmp_path / "out.mp4", ProvenanceOptions(), OutputOptions())
        assert read_credentials(tmp_path / "out.mp4") == {"present": False}

    def test_another_key_is_refused_before_any_work(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        chain, _ = make_chain(tmp_path / "one", "es256")
        _, key = make_chain(tmp_path / "two", "es384")
        with pytest.raises(UsageError, match="cannot sign"):
            write_frames(tmp_path / "out.mp4", options_with(chain, key), OutputOptions())
        assert not (tmp_path / "out.mp4").exists()


def test_without_the_package_the_error_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    options = options_with(tmp_path / "chain.pem", tmp_path / "key.pem")
    with pytest.raises(UsageError, match=r"pip install 'thcli\[c2pa\]'") as caught:
        write_frames(tmp_path / "out.mp4", options, OutputOptions())
    assert caught.value.exit_code == 2
    write_frames(tmp_path / "plain.mp4", ProvenanceOptions(), OutputOptions())
    found = read_credentials(tmp_path / "plain.mp4")
    assert found["present"] is None and "thcli[c2pa]" in found["reason"]


@pytest.mark.parametrize("key", [b"", b"-----BEGIN PRIVATE KEY-----\n@\n-----END PRIVATE KEY-----"])
def test_a_file_that_is_no_key_is_refused(
    tmp_path: Path, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, sys)  # any module: it is not reached
    (tmp_path / "chain.pem").write_bytes(b"")
    (tmp_path / "key.pem").write_bytes(key)
    options = options_with(tmp_path / "chain.pem", tmp_path / "key.pem")
    with pytest.raises(UsageError, match="is not a private key"):
        write_frames(tmp_path / "out.mp4", options, OutputOptions())


def test_certificate_and_key_belong_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--c2pa and --c2pa-key must be given together"):
        ProvenanceOptions(c2pa=tmp_path / "chain.pem")


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ""])
def test_outputs_that_hold_no_manifest_are_refused(tmp_path: Path, suffix: str) -> None:
    options = options_with(tmp_path / "a", tmp_path / "b")
    with pytest.raises(UsageError, match="--c2pa has no effect"):
        check_signable("out", suffix, options)
