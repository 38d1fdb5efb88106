"""Backends that edit faces: editors, painters, and text models that steer them."""

from __future__ import annotations

from thcli.weights.backend import Backend, Stage

EDITORS = Stage(
    "editor",
    {
        "dva-s": Backend(
            "thcli.editors.dva.small:load",
            "an experiment: our small diffusion video autoencoder, 128 x 128, soft changes",
            ("dva-s", "identity-s"),
            reads=("editor", "text_model", "words", "recombine"),
        ),
        "dva": Backend(
            "thcli.editors.dva.editor:load",
            "Diffusion Video Autoencoders, 256 x 256; one identity per clip",
            ("dva",),
            reads=("editor", "text_model", "words", "recombine"),
        ),
    },
    {"any": "dva-s", "free": ""},
)

PAINTERS = Stage(
    "painter",
    {
        "removers": Backend(
            "thcli.editors.atlas.removers.painter:load",
            "removes glasses, beards and make-up from the clip's averaged texture",
            ("removers-s",),
        ),
        "atlas": Backend(
            "thcli.editors.atlas.painter:load",
            "directions of shape, colours and detail on the 468 points",
            ("atlas-s",),
        ),
        "atlas-free": Backend(
            "thcli.editors.atlas.painter:load_free",
            "smiling only: shape and colours from free recordings",
            ("atlas-free",),
        ),
        "drawn": Backend(
            "thcli.editors.drawn.painter:load",
            "renders glasses, beards, make-up and colours on the 468 points; nothing learnt",
        ),
    },
)

TEXT_MODELS = Stage(
    "text",
    {
        "clip-s": Backend(
            "thcli.editors.clip.small:load",
            "our small model of texts about faces",
            ("clip-s",),
        ),
        "clip-b32": Backend(
            "thcli.editors.clip.official:load_b32",
            "OpenAI CLIP ViT-B/32",
            ("clip-vit-b32",),
            "open_clip_torch",
        ),
        "clip-b16": Backend(
            "thcli.editors.clip.official:load_b16",
            "OpenAI CLIP ViT-B/16",
            ("clip-vit-b16",),
            "open_clip_torch",
        ),
    },
    {"any": "clip-s", "free": ""},
)
