"""Backends of a stage: named factories, the weights they need, and the choice among them.

Nothing is imported until a backend is loaded, and loading one never imports the others. Packages
outside thcli register theirs by an entry point of the group `thcli.STAGE` (docs/python-api.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from thcli.core.device import record_devices, recorded_devices, require_device
from thcli.core.errors import UsageError
from thcli.core.options import RunOptions, changed_options
from thcli.weights.registry import check_licence
from thcli.weights.used import record_use, recorded_weights


@dataclass(frozen=True, slots=True)
class Backend:
    """One row of a stage.

    factory: "module:function", called with RunOptions and the options that the stage passes on.
    about: one line for `thcli list`.  weights: names in weights.toml that it loads.
    package: library of the dependencies that does the work, empty for our own code.
    reads: options of the job that the backend reads, as dotted names; "view" is all of its fields.
    """

    factory: str
    about: str
    weights: tuple[str, ...] = ()
    package: str = ""
    reads: tuple[str, ...] = ()

    def load(self, run: RunOptions, *options: Any) -> Any:
        """Import the module and build the backend.

        Raises:
            WeightsError: weights are absent, or the job's licence does not allow them.
            DeviceError: the device of `run` does not exist, whether the backend uses it or not.
        """
        require_device(run.device)
        if run.licence != "any":
            for name in self.weights:
                check_licence(name, run.licence)
        record_use(*self.weights)
        kept = _kept.get()
        if kept is None:
            return self.import_factory()(run, *options)
        return kept.load(self, run, *options)

    def import_factory(self) -> Callable[..., Any]:
        """Import the module of the factory and return the factory."""
        module, _, name = self.factory.partition(":")
        factory: Callable[..., Any] = getattr(import_module(module), name)
        return factory

    def reads_option(self, name: str) -> bool:
        """Return True if an option of this dotted name is declared in `reads`."""
        return any(name == own or name.startswith(f"{own}.") for own in self.reads)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A loaded backend, with what loading it recorded for the job around it."""

    row: Backend
    arguments: tuple[Any, ...]
    backend: Any
    weights: frozenset[str]
    devices: tuple[str, ...]


class KeptBackends:
    """The backends that were loaded last, at most `most`. They are stateless between jobs."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._loaded: list[_Kept] = []  # the last used one at the end

    def load(self, row: Backend, *arguments: Any) -> Any:
        """Return the loaded backend of a row and equal arguments, building it if there is none."""
        for kept in self._loaded:
            if kept.row == row and kept.arguments == arguments:
                self._loaded.remove(kept)
                break
        else:
            with recorded_devices() as devices, recorded_weights() as weights:
                backend = row.import_factory()(*arguments)
            kept = _Kept(row, arguments, backend, frozenset(weights), tuple(devices))
        self._loaded = [*self._loaded, kept][-self._most :]
        record_use(*kept.weights)
        record_devices(*kept.devices)
        return kept.backend


_kept: ContextVar[KeptBackends | None] = ContextVar("kept backends", default=None)


@contextmanager
def loaded_backends_kept(most: int = 12) -> Iterator[None]:
    """Keep loaded backends in the block for later jobs with the same options."""
    token = _kept.set(KeptBackends(most))
    try:
        yield
    finally:
        _kept.reset(token)


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
        found = rows[name]
        return replace(found, reads=tuple(getattr(found.import_factory(), "reads", ())))

    def resolve(self, name: str, run: RunOptions) -> str:
        """Return the backend's name; "auto" becomes the default under the job's licence."""
        return self.defaults[run.licence] if name == "auto" else name


def refuse_unread_options(options: Any, chosen: Iterable[str], *stages: Stage) -> None:
    """Refuse options that none of the chosen backends reads but another one of the stages does.

    An option that equals its default counts as not given. Options of the run (device, precision,
    batch size, threads, seed, licence) belong to the job and are never refused.

    Args:
        options: all options of the job.
        chosen: names of the chosen backends, each of one of the stages.
        stages: stages whose backends are chosen among.

    Raises:
        UsageError: the message names the option, the hint the backends that read it; or a backend
            does not exist.
    """
    names = list(chosen)
    backends = [_backend_of(name, stages) for name in names]
    rows = {name: row for stage in stages for name, row in stage.rows.items()}
    for option, flag in changed_options(options):
        readers = [name for name, row in rows.items() if row.reads_option(option)]
        if readers and not any(backend.reads_option(option) for backend in backends):
            raise UsageError(
                f"{flag} has no effect with {stages[0].name} {' and '.join(names)}.",
                f"It works with: {', '.join(readers)}.",
            )


def _backend_of(name: str, stages: Sequence[Stage]) -> Backend:
    return next((s for s in stages if name in s.all()), stages[0]).backend(name)
