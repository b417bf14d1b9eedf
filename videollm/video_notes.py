"""What is not in order with a video and how it was repaired, one plain sentence each.

Some of it shows when the video is opened, the rest when its frames are decoded: the list grows
while a reader reads. Turning, cropping and scaling as a file asks for is order, and is not told.
"""

from collections.abc import Iterator, Mapping, Sequence

from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from videollm.video_picture import Geometry
from videollm.video_timing import Stamp, Timing

__all__ = ["Notes", "note_contents", "note_stamps"]

REPLACEMENT = "\ufffd"
"""What the decoder puts in the place of bytes that are no text."""

HEADLESS_FORMATS = frozenset({"hevc", "h264", "m4v", "mjpeg", "mpeg", "mpegts", "mpegvideo", "obu"})
"""Formats without a place for a duration: what the decoder names is its own estimate."""


class Notes:
    """Keep sentences about one video: the first of each kind, in the order in which they came."""

    def __init__(self) -> None:
        self._sentences: dict[str, str] = {}

    def add(self, kind: str, sentence: str) -> None:
        """Keep a sentence unless there is one of its kind.

        Args:
            kind: A word; there is one sentence a kind, however often it happens.
            sentence: What is wrong, and what was done about it.
        """
        self._sentences.setdefault(kind, sentence)

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._sentences.values()))


def note_contents(notes: Notes, stream: VideoStream, first: VideoFrame, geometry: Geometry) -> None:
    """Note what is wrong with the tags, the transparency and the pixel aspect of a file.

    Args:
        notes: Receives the sentences.
        stream: The video of an opened file.
        first: The first frame that decodes.
        geometry: How it is shown.
    """
    tags: Sequence[Mapping[str, str]] = (stream.container.metadata, stream.metadata)
    if any(REPLACEMENT in f"{key}{value}" for tag in tags for key, value in tag.items()):
        notes.add("tags", "its tags are not UTF-8; what cannot be read is replaced")
    has_alpha = any(component.is_alpha for component in first.format.components)
    states_alpha = any(value == "1" for tag in tags for key, value in tag.items() if _is_alpha(key))
    if states_alpha and not has_alpha:
        sentence = "its transparency cannot be decoded; see-through parts show what is stored there"
        notes.add("alpha", sentence)
    aspect = stream.sample_aspect_ratio
    width = first.width - geometry.crop.left - geometry.crop.right
    if aspect and geometry.stored_width != max(round(width * aspect), 1):
        notes.add("aspect", f"its pixel aspect of {aspect} cannot be meant; it is not applied")


def note_stamps(
    notes: Notes,
    container: InputContainer,
    stream: VideoStream,
    *,
    stamps: Sequence[Stamp],
    num_hidden: int,
    timing: Timing,
) -> None:
    """Note where the header of a file and its packets do not agree.

    Args:
        notes: Receives the sentences.
        container: The opened file.
        stream: Its video.
        stamps: Of all packets that are shown.
        num_hidden: Packets that an edit list hides.
        timing: What the packets say.
    """
    num_timeless = sum(stamp.ticks is None for stamp in stamps)
    if num_timeless:
        which = "none" if num_timeless == len(stamps) else f"only {len(stamps) - num_timeless}"
        sentence = f"{which} of its {len(stamps)} packets say when they are shown"
        notes.add("stamps", f"{sentence}; frames without a time follow one step after another")
    if num_hidden:
        # Those before the last keyframe in front of the part are not even handed out.
        num_hidden = max(stream.frames - len(stamps), num_hidden)
        notes.add("edits", f"an edit list hides {num_hidden} of its frames; they are left out")
    elif stream.frames not in (0, len(stamps)):
        sentence = f"its header counts {stream.frames} frames and {len(stamps)} are there"
        notes.add("frames", f"{sentence}; those that are there count")
    is_headless = bool(HEADLESS_FORMATS & set(container.format.name.split(",")))
    if is_headless and num_timeless:
        notes.add("duration", f"its duration of {timing.duration_seconds:.2f} s is an estimate")
    elif not is_headless:
        _note_duration(notes, container, stream, timing)


def _note_duration(
    notes: Notes, container: InputContainer, stream: VideoStream, timing: Timing
) -> None:
    stated = container.duration / 1e6 if container.duration else 0.0
    is_sure = bool(stream.duration and stream.time_base)
    if is_sure:
        stated = float((stream.duration or 0) * (stream.time_base or 0))
    measured = timing.duration_seconds
    if not stated:
        sentence = f"its header states no duration; its packets last {measured:.2f} s"
        notes.add("duration", sentence)
        return
    # The duration of a whole file is that of its longest stream.
    is_whole = is_sure or len(container.streams) == 1
    margin = max(2 / timing.fps, 0.02 * measured)
    if measured - stated > margin or (is_whole and stated - measured > margin):
        sentence = f"its header states {stated:.2f} s and its packets last {measured:.2f} s"
        notes.add("duration", f"{sentence}; the packets count")


def _is_alpha(key: str) -> bool:
    return key.lower() == "alpha_mode"
