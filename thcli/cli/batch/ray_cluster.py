"""Workers on the machines of a Ray cluster.

Each worker is an actor that keeps a worker process beside it (`worker_process`) and passes orders
and answers on. Inputs and outputs lie in folders that all machines see under the same path; weights
that a machine lacks come through Ray's object store, once per machine.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thcli import __version__
from thcli.cli.batch.weight_parcels import installed_weights, missing_weights, pack, unpack
from thcli.cli.batch.worker_process import Attempt, Inbox, WorkerProcess
from thcli.core.errors import DeviceError, ThcliError, UsageError
from thcli.weights.store import WeightsStore

LOST = -int(signal.SIGTERM)  # exit code of a worker whose machine or actor is gone
THREADS = 2  # of an actor: one passes a job on, the other can end it


class RemoteWorker:
    """Actor on a machine of the cluster. folder: current folder of the batch."""

    def __init__(self, folder: str) -> None:
        self._inbox: Inbox = queue.SimpleQueue()
        self._process = WorkerProcess(1, self._inbox, folder=folder)

    def version(self) -> str:
        """Return the version of thcli on this machine."""
        return __version__

    def pid(self) -> int:
        """Return the number of the actor's process."""
        return os.getpid()

    def missing(self, names: Sequence[str]) -> list[str]:
        """Return the weights that this machine lacks."""
        return missing_weights(WeightsStore.default(), names)

    def receive(self, name: str, parcel: dict[str, Any]) -> None:
        """Install weights. Raises WeightsError or OutputError."""
        unpack(WeightsStore.default(), name, parcel)

    def perform(self, order: str) -> Iterator[tuple[str, str]]:
        """Pass an order on, and yield what its pool finds in the inbox; ("end", code) at a death.

        order: one line of JSON.
        """
        self._process.send(order)
        while True:
            _, kind, text = self._inbox.get()
            if kind == "end":
                yield kind, str(self._process.wait(0))
                return
            yield kind, text
            if kind == "answer" and "line" not in json.loads(text):
                return

    def close(self, seconds: float) -> int:
        """Interrupt what runs, and return the exit code of the process."""
        self._process.close()
        return self._process.wait(seconds)


class RayWorker:
    """The near end of a `RemoteWorker`, with the interface of a worker of this machine.

    actor: handle of the actor, which may still wait for its place in the cluster.
    """

    def __init__(self, number: int, inbox: Inbox, actor: Any, cluster: RayCluster) -> None:
        self.number, self.rss = number, 0
        self.attempt: Attempt | None = None
        self.refusal: ThcliError | None = None
        self.actor = actor
        self._inbox, self._cluster, self._code = inbox, cluster, 0
        self._orders: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._ending: Any = None
        self._thread = threading.Thread(target=self._relay, daemon=True)
        self._thread.start()

    def give(self, attempt: Attempt) -> None:
        """Give the worker a job. One that has just died is noticed by its end."""
        attempt.began, self.attempt = time.monotonic(), attempt
        self._orders.put(json.dumps(attempt.order()))

    def close(self) -> None:
        """Let the worker end: now when it is idle, else its job is interrupted."""
        self._orders.put(None)
        if self._code == 0:
            self._ending = self.actor.close.remote(self._cluster.grace)

    def wait(self, seconds: float) -> int:
        """Return the exit code of a closed worker, which is killed after so many seconds."""
        import ray

        if self._ending is not None:
            ray.wait([self._ending], timeout=seconds)
            self._ending = None
        ray.kill(self.actor)
        self._thread.join()
        return self._code

    def _relay(self) -> None:
        """Pass orders and answers on until the worker ends; the main function of the thread."""
        import ray

        try:
            self._cluster.prepare(self.actor)
            while (order := self._orders.get()) is not None:
                stream = self.actor.perform.options(num_returns="streaming").remote(order)
                for reference in stream:
                    kind, text = ray.get(reference)
                    if kind == "end":
                        self._code = int(text) or LOST
                        self._inbox.put((self, "end", ""))
                        return
                    self._inbox.put((self, kind, text))
        except ray.exceptions.RayTaskError as error:  # raised on the other machine
            self._fail(error.cause or error, 1)
        except ray.exceptions.RayError as error:
            self._fail(error, LOST)
        except Exception as error:  # noqa: BLE001  # without an end, the batch would wait for ever
            self._fail(error, 1)

    def _fail(self, error: BaseException, code: int) -> None:
        """Tell the pool of the end. code: exit code, unless the error has one."""
        self._code = code
        if isinstance(error, ThcliError):
            self.refusal, self._code = error, error.exit_code
        reason = next(iter(str(error).splitlines()), "")
        self._inbox.put((self, "stderr", f"{type(error).__name__}: {reason}"))
        self._inbox.put((self, "end", ""))


@dataclass(slots=True)
class RayCluster:
    """A connected Ray cluster.

    cpus, gpus: that each worker takes.
    grace: seconds that an interrupted worker has to remove its partial files.
    """

    cpus: float
    gpus: float
    grace: float = 20.0
    _parcels: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    @contextmanager
    def connect(cls, address: str, cpus: float, gpus: float) -> Iterator[RayCluster]:
        """Connect for the block.

        Args:
            address: of the cluster, "auto" to find it, or "local" to start one on this machine.
            cpus: processors that a worker takes.
            gpus: GPUs that a worker takes.

        Raises:
            UsageError: Ray is not installed.
            DeviceError: there is no cluster, or it has no room for one worker.
        """
        try:
            import ray
        except ImportError as exc:
            raise UsageError("--ray needs Ray.", "Install it: pip install 'thcli[ray]'.") from exc
        try:
            ray.init(
                address=address, include_dashboard=False, log_to_driver=False, logging_level="error"
            )
        except (ConnectionError, ValueError) as exc:
            reason = str(exc).splitlines()[0].rstrip(".")
            raise DeviceError(
                f"There is no Ray cluster at {address}: {reason}.",
                "Start one with 'ray start --head', or give --ray local.",
            ) from exc
        try:
            cluster = cls(cpus, gpus)
            if not cluster.room():
                raise DeviceError(
                    f"The Ray cluster has no {cpus:g} CPUs and {gpus:g} GPUs for a worker.",
                    "Lower --ray-cpus and --ray-gpus, or add machines.",
                )
            yield cluster
        finally:
            ray.shutdown()

    def room(self) -> int:
        """Return the number of workers that the whole cluster can hold, 256 at most."""
        import ray

        found = ray.cluster_resources()
        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        most = [found.get(name, 0.0) // need for name, need in wanted.items() if need]
        return int(min([*most, 256]))

    def start(self, number: int, inbox: Inbox) -> RayWorker:
        """Start a worker somewhere in the cluster."""
        import ray

        actor = ray.remote(RemoteWorker).options(
            num_cpus=self.cpus, num_gpus=self.gpus, max_concurrency=THREADS
        )
        return RayWorker(number, inbox, actor.remote(str(Path.cwd())), self)

    def free_memory(self) -> int | None:
        """Return None: Ray watches the memory of its machines, and kills what does not fit."""
        return None

    def prepare(self, actor: Any) -> None:
        """Compare versions and send the weights that a machine lacks.

        Raises:
            DeviceError: the machine has another version of thcli.
            WeightsError: weights did not arrive as they are here.
            OutputError: the machine cannot keep them.
            ray.exceptions.RayError: the actor ended.
        """
        import ray

        version = ray.get(actor.version.remote())
        if version != __version__:
            raise DeviceError(
                f"A machine of the cluster has thcli {version}, here is {__version__}."
            )
        store = WeightsStore.default()
        for name in ray.get(actor.missing.remote(installed_weights(store))):
            with self._lock:
                if name not in self._parcels:
                    self._parcels[name] = ray.put(pack(store, name))
            ray.get(actor.receive.remote(name, self._parcels[name]))
