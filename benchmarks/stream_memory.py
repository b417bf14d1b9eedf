"""Resident memory while an hour of 720p video is streamed, from its first minute to its end.

python -m benchmarks.stream_memory [--seconds 3600] [--fps 2] [--cache FOLDER] [--output FOLDER]

The video is drawn once and kept in the cache folder: H.264 in MP4, 1280 x 720, 10 frames a
second, grey bars that move over a gradient. It is streamed in a fresh process that keeps no
clip. The law: from minute 1 of media time to the end the process grows by under 50 MiB.
"""

import argparse
import io
import os
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import apart, save
from videollm.live import LiveStream
from videollm.video import VideoReader

HEIGHT, WIDTH, RATE = 720, 1280, 10
MINUTE_SECONDS = 60
FIRST_SECONDS = 60.0
MAX_GROWTH_MIB = 50.0
MIB = 2**20


def main(argv: list[str] | None = None) -> int:
    """Draw, stream, print, write; return 1 if memory grew too much."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=3600, help="whole minutes")
    parser.add_argument("--fps", type=float, default=2.0)
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "videollm_stream_memory"
    )
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    path = options.cache / f"{options.seconds}s.mp4"
    if not path.exists():
        draw(path, options.seconds)
    results: dict[str, Any] = {"video_bytes": path.stat().st_size, "fps": options.fps}
    for name, watch in (("reader", watch_reader), ("live", watch_live)):
        results[name] = apart(watch, str(path), options.fps)
        print(name, results[name], flush=True)
    grew = max(results[name]["growth_mib"] for name in ("reader", "live"))
    results["is_under_limit"] = grew < MAX_GROWTH_MIB
    print(save(options.output, "stream_memory", results, ["benchmarks.stream_memory", *arguments]))
    return 0 if results["is_under_limit"] else 1


def draw(path: Path, seconds: int) -> None:
    """Write the video; under another name until it is whole.

    One minute is encoded, and its packets are written again and again with later times: to a
    decoder that is a long file like any other.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.mp4")
    with av.open(io.BytesIO(draw_minute()), "r") as minute, av.open(str(partial), "w") as output:
        stream = output.add_stream_from_template(minute.streams.video[0])
        for start in range(0, seconds, MINUTE_SECONDS):
            minute.seek(0)
            for packet in minute.demux(video=0):
                if packet.pts is None or packet.dts is None or packet.time_base is None:
                    continue
                shift = round(start / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = stream
                output.mux(packet)
    partial.rename(path)


def draw_minute() -> bytes:
    """Return a minute of video."""
    file = io.BytesIO()
    background = picture()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", Fraction(RATE), options={"preset": "ultrafast", "threads": "1", "g": "100"}
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(MINUTE_SECONDS * RATE):
            pixels = background.copy()
            for bar in range(4):
                left = (number * (bar + 1) * 4 + bar * 300) % (WIDTH - 80)
                pixels[bar * 180 : bar * 180 + 60, left : left + 80] = 40 + 50 * bar
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="gray")))
        container.mux(stream.encode())
    return file.getvalue()


def picture() -> NDArray[np.uint8]:
    """Return a gradient, (H, W), uint8."""
    across = np.linspace(0, 255, WIDTH, dtype=np.float32)
    return np.broadcast_to(across, (HEIGHT, WIDTH)).astype(np.uint8)


def watch_reader(path: str, fps: float) -> dict[str, float]:
    """Return the memory of `VideoReader.stream`."""
    watch = Watch()
    with VideoReader.open(path) as reader:
        for clip in reader.stream(fps):
            watch.see(float(clip.pts_seconds[-1]), len(clip))
    return watch.results()


def watch_live(path: str, fps: float) -> dict[str, float]:
    """Return the memory of a `LiveStream` that plays the file as fast as it can."""
    watch = Watch()
    with LiveStream.open(path, fps) as stream:
        for frame in stream:
            watch.see(frame.media_seconds, 1)
    return watch.results()


class Watch:
    """Note how much memory is resident at minute 1, at the end, and at most in between."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._num_frames = 0
        self._media_seconds = 0.0
        self._resident: list[int] = []

    def see(self, media_seconds: float, num_frames: int) -> None:
        """Note the memory of now."""
        self._num_frames += num_frames
        self._media_seconds = media_seconds
        if media_seconds >= FIRST_SECONDS:
            self._resident.append(resident_bytes())

    def results(self) -> dict[str, float]:
        """Return sizes in MiB, and what was seen.

        Raises:
            ValueError: The video is shorter than a minute.
        """
        if not self._resident:
            raise ValueError(f"the video ends before {FIRST_SECONDS} s; draw a longer one")
        first, last, most = self._resident[0], self._resident[-1], max(self._resident)
        return {
            "frames": self._num_frames,
            "last_media_seconds": self._media_seconds,
            "minute_1_mib": round(first / MIB, 2),
            "end_mib": round(last / MIB, 2),
            "growth_mib": round((most - first) / MIB, 2),
            "wall_seconds": round(time.monotonic() - self._began, 1),
        }


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())
