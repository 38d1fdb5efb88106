"""Backends of face detection, landmarks, identity and parsing."""

from __future__ import annotations

from thcli.weights.backend import Backend, Stage

DETECTORS = Stage(
    "detector",
    {
        "blazeface": Backend(
            "thcli.faces.detection.blazeface:load",
            "BlazeFace, short and full range; boxes and six points",
            ("blazeface-short", "blazeface-full"),
        ),
        "yunet": Backend(
            "thcli.faces.adapters.opencv_zoo:load_detector",
            "YuNet; boxes and five points",
            ("yunet",),
            "opencv-python",
        ),
        "insightface": Backend(
            "thcli.faces.adapters.insightface_onnx:load_detector",
            "SCRFD-10G; boxes and five points",
            ("insightface-buffalo-l",),
            "insightface",
        ),
        "face-alignment": Backend(
            "thcli.faces.adapters.face_alignment_torch:load_detector",
            "S3FD; boxes",
            ("face-alignment-s3fd",),
            "face-alignment",
        ),
        "facexlib": Backend(
            "thcli.faces.adapters.facexlib_torch:load_detector",
            "RetinaFace ResNet-50; boxes and five points",
            ("facexlib-retinaface-r50",),
            "facexlib",
        ),
        "facexlib-mobilenet": Backend(
            "thcli.faces.adapters.facexlib_torch:load_small_detector",
            "RetinaFace MobileNet 0.25; boxes and five points",
            ("facexlib-retinaface-mobilenet",),
            "facexlib",
        ),
    },
)

LANDMARKERS = Stage(
    "landmarker",
    {
        "facemesh": Backend(
            "thcli.faces.landmarks.facemesh:load",
            "468 points, refined lips, eyes and irises",
            ("facemesh-attention",),
        ),
        "insightface": Backend(
            "thcli.faces.adapters.insightface_onnx:load_landmarks106",
            "106 points",
            ("insightface-buffalo-l",),
            "insightface",
        ),
        "insightface-68": Backend(
            "thcli.faces.adapters.insightface_onnx:load_landmarks68",
            "68 points with depth",
            ("insightface-buffalo-l",),
            "insightface",
        ),
        "face-alignment": Backend(
            "thcli.faces.adapters.face_alignment_torch:load_landmarks",
            "FAN; 68 points",
            ("face-alignment-2dfan4",),
            "face-alignment",
        ),
        "facexlib": Backend(
            "thcli.faces.adapters.facexlib_torch:load_landmarks",
            "AWing; 98 points",
            ("facexlib-awing",),
            "facexlib",
        ),
    },
)

IDENTITIES = Stage(
    "identity",
    {
        "identity-s": Backend(
            "thcli.faces.identity.small:load", "our small network; 512 numbers", ("identity-s",)
        ),
        "sface": Backend(
            "thcli.faces.adapters.opencv_zoo:load_identity",
            "SFace; 128 numbers",
            ("sface",),
            "opencv-python",
        ),
        "insightface": Backend(
            "thcli.faces.adapters.insightface_onnx:load_identity",
            "ArcFace R50 on WebFace600K; 512 numbers",
            ("insightface-buffalo-l",),
            "insightface",
        ),
    },
    {"any": "identity-s", "free": ""},
)

PARSERS = Stage(
    "parser",
    {
        "parse-s": Backend(
            "thcli.faces.parsing.small:load", "our small network; 19 regions", ("parse-s",)
        ),
        "mesh-parse": Backend(
            "thcli.faces.parsing.mesh:load",
            "15 of the 19 regions from the 468 points, colours and a person matte",
            ("selfie",),
        ),
        "facexlib": Backend(
            "thcli.faces.adapters.facexlib_parse:load_bisenet",
            "BiSeNet; 512 x 512",
            ("facexlib-bisenet",),
            "facexlib",
        ),
        "facexlib-parsenet": Backend(
            "thcli.faces.adapters.facexlib_parse:load_parsenet",
            "ParseNet; 512 x 512",
            ("facexlib-parsenet",),
            "facexlib",
        ),
    },
    {"any": "parse-s", "free": "mesh-parse"},
)
