"""Motion of a driver that the processes of one job share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from thcli import media
from thcli.core.events import silent
from thcli.core.options import FaceOptions, MeshOptions, ReadOptions, ReenactOptions, RunOptions
from thcli.engines.mesh.engine import load
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.kept_driver import KeptDriver, kept_drivers
from thcli.pipeline.observe.tracking import VideoSelection

Clip = Callable[..., Path]


def test_a_job_with_other_options_observes_anew(clip: Clip, tmp_path: Path) -> None:
    driver = VideoSelection(media.probe(clip("four.mp4", 4)), ReadOptions())
    engine = load(RunOptions(), ReenactOptions(mesh=MeshOptions(matte="off", patches="off")))
    motion = tmp_path / "own.motion.safetensors"
    motion.write_bytes(b"motion")

    def find(options: ReenactOptions) -> KeptDriver:
        with Job("reenact", silent, options) as job:
            found = KeptDriver.find(driver, engine, job)
        assert found is not None
        return found

    with kept_drivers(tmp_path / "work"):
        find(ReenactOptions()).keep(motion, 2)
        assert find(ReenactOptions()).take(tmp_path / "copy") == 2
        other = ReenactOptions(faces=FaceOptions(landmarker="other"))
        assert find(other).take(tmp_path / "copy") is None
