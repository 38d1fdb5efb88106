"""Options of marks of synthetic content and of consent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from thcli.core.options.base import option, require

_LONGEST_CONSENT = 500  # characters


@dataclass(frozen=True, slots=True)
class ProvenanceOptions:
    """Provenance and consent.

    c2pa, c2pa_key: given together or not at all.
    """

    label: bool = option(False, "Write 'AI-generated' into the lower left corner of the picture.")
    watermark: bool = option(
        False, "Add a faint watermark that survives compression and resizing (thcli inspect)."
    )
    consent: str | None = option(
        None,
        "Consent of the person shown: who gave it, and when. Stored in the metadata, as given.",
    )
    c2pa: Path | None = option(
        None,
        "Sign the output with Content Credentials (C2PA): certificate chain, a PEM file.",
        path="input",
        affects_result=False,
    )
    c2pa_key: Path | None = option(
        None, "Private key of --c2pa, a PEM file.", path="input", affects_result=False
    )

    def __post_init__(self) -> None:
        text = self.consent
        require(
            text is None or (bool(text.strip()) and len(text) <= _LONGEST_CONSENT),
            "--consent",
            f"a text of 1..{_LONGEST_CONSENT} characters",
            text,
        )
        both = "given together, a PEM file each: the certificate chain and its key"
        given = [str(path) for path in (self.c2pa, self.c2pa_key) if path is not None]
        require(len(given) != 1, "--c2pa and --c2pa-key", both, "".join(given))
