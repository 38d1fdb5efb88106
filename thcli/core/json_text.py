"""JSON on one line, readable where it can be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def to_json(row: Mapping[str, Any]) -> str:
    """Return an object as one line of JSON in Unicode; paths and other objects become texts.

    File names that are not Unicode hold surrogates, which no encoding can write: then everything
    outside of ASCII is escaped.
    """
    text = json.dumps(row, ensure_ascii=False, separators=(",", ":"), default=str)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(row, separators=(",", ":"), default=str)
    return text
