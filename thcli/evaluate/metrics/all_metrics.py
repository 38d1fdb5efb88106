"""All metrics of videos of one face, from the options of an evaluation."""

from __future__ import annotations

from pathlib import Path

from thcli.core.options import EvaluateOptions, RunOptions
from thcli.core.protocols import IdentityEncoder
from thcli.evaluate.metrics import pfd
from thcli.evaluate.metrics.csim import csim_metric
from thcli.evaluate.metrics.networks import lpips
from thcli.evaluate.metrics.sets import fid, fvd
from thcli.evaluate.metrics.sets.distribution import FaceFeatures
from thcli.evaluate.metrics.table import Metric, metrics_for_model
from thcli.faces.backends import IDENTITIES
from thcli.motion.backends import FACE_MODELS
from thcli.weights import is_allowed, is_ready, registry

INDEPENDENT = "sface"  # identity encoder that no training here used


def load_metrics(
    evaluate: EvaluateOptions, identities: IdentityEncoder | None, run: RunOptions
) -> tuple[Metric, ...]:
    """Return the metrics that compare frames with frames. Raises WeightsError, DeviceError.

    identities: backend of CSIM, None without one.
    """
    model = FACE_MODELS.resolve(evaluate.model3d, run)
    common = (
        *metrics_for_model(model, FACE_MODELS.backend(model).load(run)),
        *pfd.load_metrics(run),
        *lpips.load_metrics(run),
        *fvd.load_metrics(run),
    )
    return (*common, *_identity_metrics(identities, run))


def _identity_metrics(identities: IdentityEncoder | None, run: RunOptions) -> tuple[Metric, ...]:
    """Return CSIM by the chosen encoder, and by one that no training of ours used as a loss."""
    if identities is None:
        return ()
    found = [csim_metric(identities)]
    backend = IDENTITIES.backend(INDEPENDENT)
    ready = all(is_ready(row) for row in backend.weights)
    allowed = all(is_allowed(registry()[row], run.licence) for row in backend.weights)
    if identities.name != INDEPENDENT and ready and allowed:
        found.append(csim_metric(backend.load(run), "csim_other"))
    return tuple(found)


def load_sets(run: RunOptions, cache: Path | None = None) -> tuple[FaceFeatures, ...]:
    """Return the features of faces whose sets are compared. Raises DeviceError, OutputError.

    cache: folder that keeps features for later evaluations.
    """
    return fid.load_features(run, cache)
