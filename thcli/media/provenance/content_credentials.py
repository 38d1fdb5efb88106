"""Content Credentials: signed C2PA manifests, written and read by the package c2pa-python."""

from __future__ import annotations

import base64
import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np

import thcli
from thcli.core.errors import UsageError
from thcli.media.destination import hidden_sibling

PACKAGE = "c2pa"  # of c2pa-python
INSTALL = "Install it: pip install 'thcli[c2pa]'."
ASSERTION = "thcli.provenance"
MIME_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/x-m4v",
    ".mov": "video/quicktime",
    ".avi": "video/avi",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".avif": "image/avif",
}
_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype"
_SOURCE_TYPE = f"{_SOURCE_TYPES}/compositeWithTrainedAlgorithmicMedia"
# object identifiers in DER and the algorithms of C2PA that sign with such a key
_ALGORITHMS = (
    (bytes.fromhex("06082a8648ce3d030107"), "es256"),
    (bytes.fromhex("06052b81040022"), "es384"),
    (bytes.fromhex("06052b81040023"), "es512"),
    (bytes.fromhex("06032b6570"), "ed25519"),
    (bytes.fromhex("06092a864886f70d010101"), "ps256"),
)
_KEY = re.compile(r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----(.*?)-----END", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Signer:
    """Certificate chain and private key that sign outputs.

    chain: PEM text, the signer's certificate first.
    key: PEM text.
    algorithm: C2PA's name, such as "es256".
    """

    chain: bytes
    key: bytes
    algorithm: str

    @classmethod
    def load(cls, chain: Path, key: Path) -> Signer:
        """Read and check certificate and key.

        Raises:
            UsageError: c2pa-python is not installed, a file cannot be read, or the key does not
                belong to the certificate or does not suit C2PA.
        """
        c2pa = load_package("--c2pa")
        try:
            texts = chain.read_bytes(), key.read_bytes()
        except OSError as exc:
            raise UsageError(f"{exc.filename} cannot be read: {exc.strerror}.") from exc
        signer = cls(*texts, _algorithm(key, texts[1]))
        _, image = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))
        try:  # a mismatch of certificate and key shows only in a signature
            signer.sign_stream("image/png", BytesIO(image.tobytes()), BytesIO(), {})
        except c2pa.C2paError as exc:
            raise UsageError(
                f"{chain} and {key} cannot sign: {exc}.",
                "Give a certificate chain for C2PA and its unencrypted PKCS#8 key, in PEM.",
            ) from exc
        return signer

    def sign_stream(
        self, mime_type: str, source: BinaryIO, target: BinaryIO, note: Mapping[str, Any]
    ) -> None:
        """Write a signed copy of a stream. Raises C2paError of the package."""
        c2pa = load_package("--c2pa")
        facts = c2pa.C2paSignerInfo(self.algorithm.encode(), self.chain, self.key, None)
        with (
            c2pa.Signer.from_info(facts) as signer,
            c2pa.Builder.from_json(_manifest(note)) as builder,
        ):
            builder.sign(signer, mime_type, source, target)

    def sign(self, file: Path, suffix: str, note: Mapping[str, Any]) -> None:
        """Replace a file by a signed copy.

        Args:
            file: the complete output, under its temporary name.
            suffix: its final extension, one of MIME_TYPES.
            note: what is known of its origin.

        Raises:
            UsageError: the package refuses certificate or file.
            OSError: the copy cannot be written.
        """
        c2pa = load_package("--c2pa")
        signed = hidden_sibling(file, ".signed")
        try:
            with file.open("rb") as source, signed.open("w+b") as target:
                self.sign_stream(MIME_TYPES[suffix], source, target, note)
            signed.replace(file)
        except c2pa.C2paError as exc:
            raise UsageError(f"The output cannot be signed: {exc}.") from exc
        finally:
            signed.unlink(missing_ok=True)


def load_package(purpose: str) -> Any:
    """Import c2pa-python. Raises UsageError with the command that installs it."""
    try:
        return importlib.import_module(PACKAGE)
    except ModuleNotFoundError as exc:
        raise UsageError(
            f"{purpose} needs the package c2pa-python, which is not installed.", INSTALL
        ) from exc


def read_credentials(path: Path) -> dict[str, Any]:
    """Read and verify the manifest of a file.

    Returns:
        present: True, False, or None where c2pa-python is not installed or does not read the file.
        state: valid (unchanged since signing), trusted (by a known authority) or invalid.
        signer, issuer, time, generator, note: of the active manifest, None where missing.
        reason: of present None.
    """
    try:
        c2pa = load_package("Reading Content Credentials")
    except UsageError as exc:
        return {"present": None, "reason": str(exc)}
    if path.suffix.lower() not in MIME_TYPES:
        return {"present": None, "reason": f"{path.suffix or 'a folder'} holds no C2PA manifest."}
    try:
        with c2pa.Reader(str(path)) as reader:
            state = str(reader.get_validation_state()).lower()
            return {"present": True, "state": state, **_summary(json.loads(reader.json()))}
    except c2pa.C2paError as exc:
        if "ManifestNotFound" in str(exc):
            return {"present": False}
        return {"present": None, "reason": str(exc)}


def _summary(store: Mapping[str, Any]) -> dict[str, Any]:
    manifest = store["manifests"][store["active_manifest"]]
    signature = manifest.get("signature_info") or {}
    generators = manifest.get("claim_generator_info") or [{}]
    notes = [a["data"] for a in manifest.get("assertions", []) if a["label"] == ASSERTION]
    return {
        "signer": signature.get("common_name"),
        "issuer": signature.get("issuer"),
        "time": signature.get("time"),
        "generator": " ".join(
            str(generators[0][key]) for key in ("name", "version") if key in generators[0]
        ),
        "note": notes[0] if notes else None,
    }


def _manifest(note: Mapping[str, Any]) -> dict[str, Any]:
    agent = {"name": "thcli", "version": thcli.__version__}
    created = {
        "action": "c2pa.created",
        "digitalSourceType": _SOURCE_TYPE,
        "softwareAgent": agent,
    }
    return {
        "claim_generator_info": [agent],
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {"label": ASSERTION, "data": dict(note)},
        ],
    }


def _algorithm(file: Path, key: bytes) -> str:
    """Return the algorithm of a private key by the object identifier in its DER form."""
    found = _KEY.search(key.decode("latin-1"))
    if found is not None:
        try:
            der = base64.b64decode("".join(found[2].split()), validate=True)
        except ValueError:
            der = b""
        for identifier, algorithm in _ALGORITHMS:
            if identifier in der:
                return algorithm
    raise UsageError(
        f"{file} is not a private key that C2PA signs with.",
        "Give an unencrypted PEM key: EC P-256, P-384 or P-521, Ed25519 or RSA.",
    )
