"""Build thcli/weights/bundled/phones-en.safetensors from pocketsphinx's en-us acoustic model.

    python tools/make_phone_model.py MODEL thcli/weights/bundled/phones-en.safetensors

MODEL: the folder `pocketsphinx/model/en-us/en-us` of the package pocketsphinx 5.1.1 (two-clause
BSD, Carnegie Mellon University and Alpha Cephei). Kept are the Gaussians of every phone and the
mixture weights of the states that do not depend on the context.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

VARIANCE_FLOOR = 1e-4
STATES = 3  # of a phone
LICENCE = "BSD-2-Clause"
ATTRIBUTION = (
    "Generic US English acoustic model of pocketsphinx 5.1.1, Copyright (c) 1999-2016 Carnegie "
    "Mellon University, Copyright (c) 2015 Alpha Cephei Inc.; converted, states in context dropped."
)


def read_gaussians(path: Path) -> npt.NDArray[np.float32]:
    """Return means or variances, (phones, streams, Gaussians, 13)."""
    content = path.read_bytes()
    at = content.index(b"endhdr\n") + len(b"endhdr\n") + 4  # and the byte order
    phones, streams, count, *widths = struct.unpack_from("<6i", content, at)
    values = np.frombuffer(content, "<f4", phones * streams * count * widths[0], at + 28)
    return values.reshape(phones, streams, count, widths[0])


def read_weights(path: Path, states: int, streams: int) -> npt.NDArray[np.uint8]:
    """Return negative log mixture weights of the first states, (states, streams, Gaussians)."""
    content = path.read_bytes()
    at = 0
    while True:
        (length,) = struct.unpack_from("<i", content, at)
        at += 4 + length
        if not length:
            break
    rows, columns = struct.unpack_from("<2i", content, at)
    table = np.frombuffer(content, np.uint8, streams * rows * columns, at + 8)
    return np.ascontiguousarray(
        table.reshape(streams, rows, columns)[..., :states].T.swapaxes(1, 2)
    )


def read_phones(path: Path) -> list[str]:
    """Return the names of the phones in the model's order."""
    content = path.read_bytes()
    at = content.index(b"END FILE FORMAT DESCRIPTION\n")
    names = content[content.index(b"+NSN+", at) :].split(b"\0")
    (count,) = struct.unpack_from("<i", content, content.index(b"+NSN+", at) - 40)
    return [name.decode() for name in names[:count]]


def main(model: Path, target: Path) -> None:
    """Convert the model."""
    means, variances = (read_gaussians(model / name) for name in ("means", "variances"))
    phones = read_phones(model / "mdef")
    weights = read_weights(model / "sendump", STATES * len(phones), means.shape[1])
    save_file(
        {
            "means": means,
            "variances": np.maximum(variances, VARIANCE_FLOOR),
            "weights": weights.reshape(len(phones), STATES, *weights.shape[1:]),
        },
        target,
        {"licence": LICENCE, "attribution": ATTRIBUTION, "phones": " ".join(phones)},
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
