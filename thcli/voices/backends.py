"""Backends of the voices, which turn speech into motion or images."""

from __future__ import annotations

from thcli.weights.backend import Backend, Stage

ENGINE = "engine"  # renders the motion of a voice; a speech-to-video model has no use of one
# options of a voice that moves the whole face
SPEECH = tuple(
    f"speech.{name}" for name in ("pose", "blink", "gaze", "emotion", "mouth", "temperature")
)

VOICES = Stage(
    "voice",
    {
        "a2m": Backend(
            "thcli.voices.a2m.voice:load",
            "phones and log-mel to mouth motion; head, eyes and brows that follow the sound",
            ("a2m-s", "phones-en"),
            reads=(*SPEECH, ENGINE),
        ),
        "a2m-free": Backend(
            "thcli.voices.a2m.voice:load_free",
            "the same, trained on free recordings alone",
            ("a2m-s-free", "phones-en"),
            reads=(*SPEECH, ENGINE),
        ),
        "dh-s": Backend(
            "thcli.voices.diffused_heads.voice:load",
            "experimental: small Diffused Heads, 96 x 96 images from the motion of a2m",
            ("dh-s", "a2m-s", "phones-en"),
            reads=(
                "speech.pose",
                "speech.blink",
                "speech.mouth",
                "speech.temperature",
                "speech.diffusion.steps",
                "speech.diffusion.sampler",
            ),
        ),
        "diffused-heads": Backend(
            "thcli.voices.diffused_heads.published:load",
            "Diffused Heads, CREMA; 128 x 128 images",
            ("diffused-heads",),
            reads=("speech.diffusion",),
        ),
        "diffused-heads-lrw": Backend(
            "thcli.voices.diffused_heads.published:load_lrw",
            "Diffused Heads, LRW: a checkpoint of your own",
            ("diffused-heads-lrw", "diffused-heads"),
            reads=("speech.diffusion",),
        ),
        "real3d": Backend(
            "thcli.voices.real3d.voice:load",
            "Real3D-Portrait's audio to motion; 64 expressions of BFM 2009",
            ("real3d", "hubert-large"),
            reads=("speech.blink", "speech.mouth", "speech.temperature", ENGINE),
        ),
        "x2face": Backend(
            "thcli.voices.x2face.voice:load",
            "X2Face driven by sound, for the engine x2face: a linear regression of its codes",
            ("x2face-audio", "phones-en"),
            reads=("speech.mouth", ENGINE),
        ),
    },
    {"any": "a2m", "free": "a2m-free"},
)
