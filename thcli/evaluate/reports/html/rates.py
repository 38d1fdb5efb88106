"""Quality over bitrate, from a CSV that another measurement wrote."""

from __future__ import annotations

import csv
from pathlib import Path

from thcli.core.errors import MediaError
from thcli.core.text_files import read_csv
from thcli.evaluate.reports.html.charts import Chart, rate_chart
from thcli.evaluate.reports.html.page import Section
from thcli.evaluate.reports.tables import read_number

METHOD, RATE = "method", "kbit_s"
HINT = f"Give a CSV with the columns {METHOD}, {RATE} and one for each measure."


def rate_section(path: Path) -> Section:
    """Return the charts of a CSV with a column for each measure; texts are left out.

    Raises MediaError when it cannot be read.
    """
    try:
        rows = list(read_csv(path))
    except (OSError, ValueError, csv.Error) as exc:
        raise MediaError(f"The rates {path} cannot be read: {exc}.", HINT) from exc
    points: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        rate = read_number(row.get(RATE))
        if not row.get(METHOD) or rate is None or rate <= 0:
            raise MediaError(f"A line of the rates {path} lacks {METHOD} or {RATE}.", HINT)
        for measure, text in row.items():
            value = read_number(text) if isinstance(measure, str) else None
            if measure not in (METHOD, RATE) and value is not None:
                points.setdefault(measure, {}).setdefault(row[METHOD], []).append((rate, value))
    if not points:
        raise MediaError(f"The rates {path} hold no numbers.", HINT)
    charts = [Chart(rate_chart(measure, lines)) for measure, lines in points.items()]
    return Section("Quality over bitrate", charts=charts)
