"""Why a file is no video that can be shown, in one sentence that its owner understands."""

from av.video.stream import VideoStream

from videollm.errors import DamagedVideoError, NoVideoError, VideoError
from videollm.video_source import GIVE_A_VIDEO, MediaSource

__all__ = ["check_size", "encrypted", "no_container", "no_frame"]

ZIP = b"PK\x03\x04"
ZIP_FLAGS_PLACE = 6
ZIP_ENCRYPTED = 1

KINDS = {
    ZIP: "a zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a rar archive",
    b"\x1f\x8b": "a gzip file",
    b"\xfd7zXZ\x00": "an xz file",
    b"%PDF": "a PDF document",
    b"<!DO": "a web page",
    b"<htm": "a web page",
    b"<!do": "a web page",
}
"""What is often taken for a video, by its first bytes."""


def check_size(source: object, width: int, height: int, max_pixels: int) -> None:
    """Refuse frames that are too large.

    Args:
        source: What the user gave, for the message.
        width: In pixels; 0 where it is not known.
        height: Likewise.
        max_pixels: The most allowed.

    Raises:
        VideoError: The frames have more pixels.
    """
    if width * height > max_pixels:
        finding = f"its frames are {width}x{height} pixels"
        remedy = f"scale them down to at most {max_pixels / 1e6:.4g} million pixels"
        raise VideoError(source, finding, remedy)


def no_container(name: str, first_bytes: bytes, reason: str) -> VideoError:
    """Return what to say about a file that the decoder does not know.

    Args:
        name: What the user gave.
        first_bytes: At least 8 of them, if there are as many.
        reason: The decoder's words.
    """
    if not first_bytes:
        return NoVideoError(name, "holds no bytes", "check that the upload finished")
    kind = next((kind for start, kind in KINDS.items() if first_bytes.startswith(start)), None)
    if kind is None:
        begins = f"it begins with {first_bytes!r}"
        return NoVideoError(name, f"is not a video ({begins}: {reason})", GIVE_A_VIDEO)
    flags = first_bytes[ZIP_FLAGS_PLACE : ZIP_FLAGS_PLACE + 1]
    is_locked = kind == KINDS[ZIP] and flags and flags[0] & ZIP_ENCRYPTED
    finding = f"is {kind}{', locked with a password,' if is_locked else ''} and not a video"
    unpack = "unpack it, and " if kind.endswith(("archive", "file")) else ""
    return NoVideoError(name, finding, unpack + GIVE_A_VIDEO)


def encrypted(name: str, stream: VideoStream) -> VideoError:
    """Return what to say about a video whose packets are encrypted.

    Args:
        name: What the user gave.
        stream: The video.
    """
    remedy = "decrypt it with the service that it comes from, or give another file"
    return VideoError(name, f"its {stream.codec_context.name} video is encrypted", remedy)


def no_frame(source: MediaSource, stream: VideoStream) -> VideoError:
    """Return what to say about a video of which no frame decodes.

    Args:
        source: Where the bytes come from.
        stream: The video.
    """
    codec = stream.codec_context.name
    remedy = "the file is damaged: copy, download or convert it again"
    finding = f"not one frame of its {codec} video can be decoded"
    if stream.codec_context.width == 0 or stream.codec_context.height == 0:
        # The decoder forgets a size that it does not take.
        most = f"the {source.max_pixels / 1e6:.4g} million pixels allowed"
        finding = f"its {codec} frames have no size, or more than {most}"
        remedy = "scale it down, or where it is damaged copy or download it again"
    return DamagedVideoError(source.name, finding, remedy)
