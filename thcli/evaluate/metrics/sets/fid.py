"""FID and KID of faces by Inception-v3, and pfd_fid, ours, in the features of pfd-s.

FID needs thousands of images; of fewer it is too large, and compares only between rows of one
table. Both sets are the face boxes of the tracked faces.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from thcli.core.device import resolve_device
from thcli.core.errors import NoFaceError
from thcli.core.options import RunOptions, TemplateOptions
from thcli.core.types import Array, Face, Image
from thcli.evaluate.metrics.face_cache import FaceCache
from thcli.evaluate.metrics.networks.inception import (
    WEIGHTS,
    WIDTH,
    InceptionV3,
    build_inception,
    encode_images,
)
from thcli.evaluate.metrics.pfd import NAME, FeatureExtractor
from thcli.evaluate.metrics.regions import crop_square, face_square
from thcli.evaluate.metrics.sets.distribution import FaceFeatures, frechet_distance, kernel_distance
from thcli.evaluate.metrics.sets.feature_store import FeatureStore
from thcli.faces.crops.crop import crop
from thcli.faces.parsing import small
from thcli.pipeline.observe.crop_templates import crop_placement
from thcli.weights import is_allowed, is_ready, load_tensors, registry


def inception_features(network: InceptionV3, cache: Path | None = None) -> FaceFeatures:
    """Return FID and KID of a network. cache: folder of `FeatureStore`."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values() if cache is not None else ():
        digest.update(tensor.detach().cpu().numpy().tobytes())
    store = FeatureStore(cache, f"inception-v3-{digest.hexdigest()[:16]}", WIDTH)

    def features(image: Image, face: Face) -> Array:
        part = crop_square(image, face_square(face))
        return store.get(part, lambda crop: np.asarray(encode_images(network, [crop])[0]))

    return FaceFeatures(
        "inception-v3",
        FaceCache(features).get,
        {
            "fid": ("Fréchet distance of the face boxes", frechet_distance),
            "kid": ("kernel distance of the face boxes", kernel_distance),
        },
    )


def parser_features(network: FeatureExtractor, name: str = NAME) -> FaceFeatures:
    """Return pfd_fid: the Fréchet distance of the means of pfd-s's deepest features, ours."""
    options = TemplateOptions(template=network.template, size=network.crop_size)

    def features(image: Image, face: Face) -> Array:
        try:
            placement = crop_placement(face, options)
        except NoFaceError:  # the landmarks are degenerate
            part = crop_square(image, face_square(face), network.crop_size)
        else:
            part = np.asarray(crop(image, placement), np.uint8)
        return np.asarray(network.features([part])[-1][0].mean((1, 2)))

    return FaceFeatures(
        name,
        FaceCache(features).get,
        {"pfd_fid": ("Fréchet distance in pfd-s's features, ours", frechet_distance)},
    )


def load_features(run: RunOptions, cache: Path | None = None) -> tuple[FaceFeatures, ...]:
    """Return the features whose weights are there and that --licence allows.

    Raises DeviceError, OutputError. cache: folder of the features of Inception-v3.
    """
    found, entries = [], registry()
    if is_allowed(entries[NAME], run.licence):
        found.append(parser_features(small.load(run, NAME)))
    if is_ready(WEIGHTS) and is_allowed(entries[WEIGHTS], run.licence):
        tensors = load_tensors(WEIGHTS, offline=run.offline)
        network = build_inception(tensors, resolve_device(run.device))
        found.append(inception_features(network, cache))
    return tuple(found)
