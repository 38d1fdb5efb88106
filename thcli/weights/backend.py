"""Backends of a stage: named factories, the weights they need, and the choice among them.

Nothing is imported until a backend is loaded, and loading one never imports the others. Packages
outside thcli register theirs by an entry point of the group `thcli.STAGE` (docs/python-api.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from thcli.core.errors import UsageError
from thcli.core.options import RunOptions
from thcli.weights.registry import check_licence


@dataclass(frozen=True, slots=True)
class Backend:
    """One row of a stage.

    factory: "module:function", called with RunOptions and the options that the stage passes on.
    about: one line for `thcli list`.  weights: names in weights.toml that it loads.
    package: library of the dependencies that does the work, empty for our own code.
    """

    factory: str
    about: str
    weights: tuple[str, ...] = ()
    package: str = ""

    def load(self, run: RunOptions, *options: Any) -> Any:
        """Import the module and build the backend.

        Raises:
            WeightsError: weights are absent, or the job's licence does not allow them.
            DeviceError: the device of `run` does not exist.
        """
        if run.licence != "any":
            for name in self.weights:
                check_licence(name, run.licence)
        module, _, name = self.factory.partition(":")
        factory: Callable[..., Any] = getattr(import_module(module), name)
        return factory(run, *options)


@dataclass(frozen=True, slots=True)
class Stage:
    """The backends of one stage.

    rows: name -> Backend, ours; `backend` also finds those of entry points.
    defaults: what "auto" means for each `RunOptions.licence` ("" where there is none).
    """

    name: str
    rows: dict[str, Backend]
    defaults: dict[str, str] = field(default_factory=dict)

    def all(self) -> dict[str, Backend]:
        """Return our rows and those of installed packages; ours win where names collide."""
        found = {
            point.name: Backend(point.value, f"from the package {name}", package=name)
            for point in entry_points(group=f"thcli.{self.name}")
            for name in (point.dist.name if point.dist else "unknown",)
        }
        return {**found, **self.rows}

    def backend(self, name: str) -> Backend:
        """Return the row of that name. Raises UsageError that lists the names there are."""
        if name in self.rows:
            return self.rows[name]
        rows = self.all()
        if name not in rows:
            known = ", ".join(sorted(rows)) or "none yet"
            raise UsageError(f"There is no {self.name} named {name!r}.", f"There are: {known}.")
        return rows[name]

    def resolve(self, name: str, run: RunOptions) -> str:
        """Return the backend's name; "auto" becomes the default under the job's licence."""
        return self.defaults[run.licence] if name == "auto" else name
