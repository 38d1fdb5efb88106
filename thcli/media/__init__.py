"""Reading and writing pictures, sound and whatever comes with them. Nothing here knows of faces.

info = media.probe("clip.mp4")
with media.read("clip.mp4") as frames, media.write("out.mp4", info.size, info, OutputOptions(), drive=info.path) as out:
    for frame in frames:
        out.write(frame.pixels, frame.pts, frame.duration)
"""

from thcli.media.info import Colour, MediaInfo, StreamInfo
from thcli.media.reading.image import parse_background
from thcli.media.reading.probe import probe
from thcli.media.reading.read import Reader, local, read, read_image
from thcli.media.writing.provenance import Provenance
from thcli.media.writing.write import Writer, write

__all__ = [
    "Colour",
    "MediaInfo",
    "Provenance",
    "Reader",
    "StreamInfo",
    "Writer",
    "local",
    "parse_background",
    "probe",
    "read",
    "read_image",
    "write",
]
