"""Voices: backends that turn speech into motion or pictures."""

from __future__ import annotations

from thcli.weights.backend import Backend, Stage

VOICES = Stage(
    "voice",
    {
        "a2m": Backend(
            "thcli.voices.a2m.voice:load",
            "log-mel and pitch to the mouth, a head that moves by itself",
            ("a2m-s", "a2m-s-free"),
        ),
        "a2m-free": Backend(
            "thcli.voices.a2m.voice:load_free",
            "the same, of free recordings alone",
            ("a2m-s-free",),
        ),
        "dh-s": Backend(
            "thcli.voices.diffused_heads.voice:load",
            "Diffused Heads made small: paints 96 x 96 pictures of what a2m says",
            ("dh-s", "a2m-s", "a2m-s-free"),
        ),
        "diffused-heads": Backend(
            "thcli.voices.diffused_heads.published:load",
            "Diffused Heads, CREMA; 128 x 128 pictures",
            ("diffused-heads",),
        ),
        "diffused-heads-lrw": Backend(
            "thcli.voices.diffused_heads.published:load_lrw",
            "Diffused Heads, LRW: a checkpoint of your own",
            ("diffused-heads-lrw", "diffused-heads"),
        ),
        "real3d": Backend(
            "thcli.voices.real3d.voice:load",
            "Real3D-Portrait's audio to motion; 64 expressions of BFM 2009",
            ("real3d", "hubert-large"),
        ),
    },
    {"any": "a2m", "free": "a2m-free"},
)
