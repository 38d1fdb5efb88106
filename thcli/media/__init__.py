"""Reading and writing of images and videos with their audio, subtitles and metadata.

info = media.probe("clip.mp4")
plan = media.WritePlan(drive=info)
with (
    media.read("clip.mp4") as frames,
    media.write("out.mp4", info.size, info, OutputOptions(), plan) as writer,
):
    for frame in frames:
        writer.write(frame.pixels, frame.pts, frame.duration)
"""

from thcli.media.info import Colour, MediaInfo, StreamInfo
from thcli.media.reading.image import parse_background
from thcli.media.reading.probe import probe
from thcli.media.reading.read import Reader, read, read_image, seekable_path
from thcli.media.writing.plan import WritePlan
from thcli.media.writing.provenance import Provenance
from thcli.media.writing.write import Writer, write

__all__ = [
    "Colour",
    "MediaInfo",
    "Provenance",
    "Reader",
    "StreamInfo",
    "WritePlan",
    "Writer",
    "parse_background",
    "probe",
    "read",
    "read_image",
    "seekable_path",
    "write",
]
