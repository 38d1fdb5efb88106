"""Several clips and engines in one table: self and cross identity, cost and licence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from thcli.core.byte_sizes import size_text
from thcli.core.types import Image
from thcli.evaluate.benchmarks.reenactment.engines import EngineFacts
from thcli.evaluate.datasets.clip_roles import chosen_on
from thcli.evaluate.metrics.scores import RowScores, average_scores
from thcli.evaluate.reports.contact_sheet import stack_sheets
from thcli.evaluate.reports.html.charts import metric_charts
from thcli.evaluate.reports.html.page import Page, Section
from thcli.evaluate.reports.report import Evaluation, rows_json
from thcli.evaluate.reports.tables import Table
from thcli.pipeline.render.panels import put_label


@dataclass(frozen=True)
class ReenactEvaluation:
    """Measurements of all clips.

    own: clip -> self-reenactment, or finished videos.
    crossed: "SOURCE < DRIVER" -> cross-reenactment.
    facts: row -> size and licence of its engine.
    absent: engine -> what it needs.
    """

    own: Mapping[str, Evaluation]
    crossed: Mapping[str, Evaluation] = field(default_factory=dict)
    facts: Mapping[str, EngineFacts] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)

    def report(self, command: str) -> dict[str, Any]:
        """Return everything but images for JSON; command: the command line."""
        content = average_evaluations(self.own).report(command)
        content["cpu_seconds_a_frame"] = _cost(self.own)
        content["engines"] = {label: asdict(facts) for label, facts in self.facts.items()}
        content["absent"] = dict(self.absent)
        content["chosen_on"] = chosen_on(self.own)
        if len(self.own) > 1:
            content["inputs"] = {name: dict(one.inputs) for name, one in self.own.items()}
            content["clips"] = {name: rows_json(one.rows) for name, one in self.own.items()}
        if self.crossed:
            mean = average_evaluations(self.crossed)
            content["cross"] = {
                "metrics": mean.report(command)["metrics"],
                "rows": rows_json(mean.rows),
                "cpu_seconds_a_frame": _cost(self.crossed),
                "pairs": {name: rows_json(one.rows) for name, one in self.crossed.items()},
            }
        return content

    def tables(self) -> list[Table]:
        """Return the table of self identity, then that of cross identity."""
        found = [self._with_facts(self.own)]
        if self.crossed:
            found.append(self._with_facts(self.crossed))
        return found

    def _with_facts(self, evaluations: Mapping[str, Evaluation]) -> Table:
        mean = average_evaluations(evaluations)
        head, lines = mean.table()
        costs = _cost(evaluations)

        def line(name: str, unit: str, values: Mapping[str, str]) -> list[str]:
            return [name, unit, "", *(values.get(label, "-") for label in mean.rows)]

        if costs:
            shown = {label: f"{value:.3g}" for label, value in costs.items()}
            sizes = {
                label: size_text(facts.bytes) if facts.bytes else "unknown"
                for label, facts in self.facts.items()
            }
            uses = {label: "free" if f.free else "research" for label, f in self.facts.items()}
            lines += [
                line("CPU seconds a frame ↓", "s", shown),
                line("weights", "", sizes),
                line("licence", "", uses),
            ]
            trained = {label: f.trained for label, f in self.facts.items() if f.trained}
            if trained:
                lines.append(line("own training", "", trained))
        return head, lines

    def sheet(self) -> Image:
        """Return the contact sheets of all clips and pairs, stacked and labelled."""
        sheets = []
        for name, one in {**self.own, **self.crossed}.items():
            image = one.sheet.copy()
            if len(self.own) + len(self.crossed) > 1:
                put_label(image, name, (3, 24))
            sheets.append(image)
        return stack_sheets(sheets)

    def page(self, title: str, command: str, players: Mapping[str, str]) -> Page:
        """Return the HTML report. players: clip or pair -> name of its video in the folder."""
        sections = []
        groups = {"Same identity": self.own, "Another person's motion": self.crossed}
        for number, (heading, found) in enumerate(groups.items()):
            if not found:
                continue
            sections.append(
                Section(
                    heading,
                    note=_note(found, crossed=number == 1),
                    tables=[self._with_facts(found)],
                    charts=metric_charts(found),
                    videos={name: players[name] for name in found if name in players},
                    images={name: one.sheet for name, one in found.items()},
                )
            )
        if self.absent:
            rows = [[name, what] for name, what in self.absent.items()]
            sections.append(
                Section("Engines that were not run", tables=[(["engine", "get"], rows)])
            )
        licences = [
            [label, facts.licence, facts.trained or "-"] for label, facts in self.facts.items()
        ]
        if licences:
            table = (["engine", "licence of its weights", "own training"], licences)
            sections.append(Section("Licences", tables=[table]))
        return Page(title, command, sections)


def average_evaluations(evaluations: Mapping[str, Evaluation]) -> Evaluation:
    """Return the mean of several clips; the protocol and the inputs are those of the first."""
    found = list(evaluations.values())
    if len(found) == 1:
        return found[0]
    rows: dict[str, RowScores] = {
        label: average_scores([one.rows[label] for one in found]) for label in found[0].rows
    }
    return replace(found[0], rows=rows)


def _cost(evaluations: Mapping[str, Evaluation]) -> dict[str, float]:
    """Return the CPU seconds that each engine needs for a frame, from pass 1 to the file.

    The source frame is rendered though it may not be measured.
    """
    found = list(evaluations.values())
    left_out = sum(one.protocol.get("source_counted") is False for one in found)
    return {
        label: sum(one.spent[label] for one in found)
        / max(sum(one.rows[label].frames for one in found) + left_out, 1)
        for label in found[0].spent
    }


def _note(found: Mapping[str, Evaluation], *, crossed: bool) -> str:
    count = len(found)
    text = "1 clip" if count == 1 else f"mean of {count} {'pairs' if crossed else 'clips'}"
    first = next(iter(found.values()))
    encoders = [metric.model for metric in first.metrics if metric.name.startswith("csim")]
    if encoders:
        text += f"; csim by {' and '.join(encoders)}"
    chosen = chosen_on(name for pair in found for name in pair.split(" < "))
    if chosen:
        text += f"; constants of thcli were chosen on {', '.join(dict.fromkeys(chosen))}"
    return text
