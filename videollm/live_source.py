"""Where live pictures come from: cameras and RTSP by the decoder itself, all else as files are.

Legend of platforms: Linux reads cameras by v4l2, macOS by avfoundation, Windows by dshow.
"""

import errno
import os
import stat
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.device import enumerate_input_devices

from videollm.errors import (
    SourceAccessError,
    SourceNotFoundError,
    SourceTimeoutError,
    SourceUnreachableError,
    VideoError,
)
from videollm.video_patience import Patience
from videollm.video_source import MediaSource, media_source, source_name

__all__ = ["DeviceSource", "is_live_source", "live_source"]

CAMERA = "camera:"
RTSP_SCHEMES = ("rtsp", "rtsps")
CAMERA_FORMATS = {"darwin": "avfoundation", "win32": "dshow"}
NON_BLOCKING = {"fflags": "4"}
"""AVFMT_FLAG_NONBLOCK, which has no name among the options: a camera's read would wait for ever,
and no time limit reaches into it."""

ANALYSIS_SECONDS = 1.0
"""How much of an RTSP stream is looked at before the first picture; the decoder's own 5 s would
be all the time there is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceSource:
    """Hold a camera or an RTSP address.

    Args:
        name: What the user gave, for messages.
        url: What the decoder calls it.
        format_name: Name of the decoder's input format.
        options: For that format.
        patience: How long to wait.
    """

    name: str
    url: str
    format_name: str
    options: Mapping[str, str] = field(default_factory=dict)
    patience: Patience

    @property
    def is_local(self) -> bool:
        """Return False: what is shown now cannot be read again."""
        return False

    @property
    def is_camera(self) -> bool:
        """Return whether it is a camera of this machine."""
        return self.format_name != "rtsp"

    def open(self) -> InputContainer:
        """Return the opened source.

        Raises:
            VideoError: It is absent, busy, forbidden, silent or out of reach.
        """
        timeouts = (self.patience.open_seconds, self.patience.open_seconds)
        began = time.monotonic()
        try:
            return av.open(
                self.url,
                "r",
                format=self.format_name,
                container_options=dict(self.options),
                metadata_errors="replace",
                timeout=timeouts,
            )
        except av.FFmpegError as error:
            # Cut short, the decoder often says that what it has so far is no video.
            is_late = time.monotonic() - began >= self.patience.open_seconds
            raise self.explain(error, is_late=is_late) from None

    def explain(self, error: av.FFmpegError, *, is_late: bool = False) -> VideoError:
        """Return what an error of the decoder means here.

        Args:
            error: What it raised.
            is_late: Whether it was interrupted for taking too long to open.
        """
        reason = error.strerror or type(error).__name__
        if is_late:
            finding = f"no picture within {self.patience.open_seconds:g} s"
            return SourceTimeoutError(self.name, finding, "check that it is running")
        if isinstance(error, av.error.ExitError | av.error.TimeoutError):
            # What is live sends pictures all the time: there is no reason to be more patient.
            finding = f"sent nothing for {self.patience.open_seconds:g} s"
            return SourceTimeoutError(self.name, finding, "check that it is running")
        if self.is_camera:
            return _camera_error(self.name, error.errno, reason)
        if isinstance(error, av.error.HTTPNotFoundError):
            return SourceNotFoundError(self.name, "the server has no such stream", "check the path")
        if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
            remedy = "give name and password: rtsp://name:password@host/path"
            return SourceAccessError(self.name, f"the server refuses ({reason})", remedy)
        remedy = "check the address, and that the camera or server is running"
        return SourceUnreachableError(self.name, f"cannot be reached ({reason})", remedy)


def is_live_source(source: object) -> bool:
    """Return whether a source is a camera or an RTSP address, so that nothing of it is past."""
    if isinstance(source, bool):
        return False
    return isinstance(source, int) or _camera(source) is not None or _is_rtsp(source)


def live_source(
    source: object,
    *,
    timeout_seconds: float,
    rtsp_transport: Literal["tcp", "udp"] = "tcp",
) -> "DeviceSource | MediaSource":
    """Return the source that was meant.

    Args:
        source: A camera: its number, `camera:` with its number or name, or its device path; an
            rtsp(s) address; or what `video_source.media_source` takes.
        timeout_seconds: How long opening may take, above 0.
        rtsp_transport: Whether RTSP pictures come by TCP, or by UDP, where some may be lost.

    Raises:
        VideoError: There is no such camera or file, or the argument is none of these.
    """
    patience = Patience(timeout_seconds)
    if isinstance(source, int) and not isinstance(source, bool):
        return _camera_source(f"{CAMERA}{source}", str(source), patience)
    camera = _camera(source)
    if camera is not None:
        return _camera_source(source_name(source), camera, patience)
    if isinstance(source, str) and _is_rtsp(source):
        name = source_name(source)
        options = {
            "rtsp_transport": rtsp_transport,
            "protocol_whitelist": "rtsp,rtsps,rtp,rtcp,srtp,tcp,udp,tls",
            "analyzeduration": str(round(1e6 * ANALYSIS_SECONDS)),
        }
        return DeviceSource(
            name=name, url=source, format_name="rtsp", options=options, patience=patience
        )
    return media_source(source, timeout_seconds)


def cameras() -> list[str]:
    """Return what cameras this machine has, as the decoder calls them."""
    kind = CAMERA_FORMATS.get(sys.platform)
    if kind is None:
        return sorted(str(path) for path in Path("/dev").glob("video*"))
    devices = enumerate_input_devices(kind)
    return [device.name for device in devices if "video" in device.media_types]


def _camera(source: object) -> str | None:
    """Return the number, name or path of the camera that was meant, or None."""
    if isinstance(source, str) and source.lower().startswith(CAMERA):
        return source[len(CAMERA) :]
    if isinstance(source, str | os.PathLike) and sys.platform not in CAMERA_FORMATS:
        path = os.fsdecode(source)
        if path.startswith("/dev/video"):
            return path
    return None


def _is_rtsp(source: object) -> bool:
    return isinstance(source, str) and urlsplit(source).scheme.lower() in RTSP_SCHEMES


def _camera_source(name: str, camera: str, patience: Patience) -> DeviceSource:
    kind = CAMERA_FORMATS.get(sys.platform, "video4linux2")
    options: dict[str, str] = dict(NON_BLOCKING)
    if kind == "video4linux2":
        url = f"/dev/video{camera}" if camera.isdigit() else camera
        try:
            is_device = stat.S_ISCHR(os.stat(url).st_mode)
        except OSError:
            is_device = False
        if not is_device:
            raise _camera_error(name, errno.ENOENT, "")
    elif kind == "dshow":
        found = cameras()
        if camera.isdigit() and int(camera) >= len(found):
            raise _camera_error(name, errno.ENOENT, "")
        url = f"video={found[int(camera)] if camera.isdigit() else camera}"
    else:
        url = f"{camera}:none"
        options["framerate"] = "30"  # its own default, 29.97, fits hardly any camera
    return DeviceSource(name=name, url=url, format_name=kind, options=options, patience=patience)


def _camera_error(name: str, code: int | None, reason: str) -> VideoError:
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        found = cameras()
        remedy = f"there are {', '.join(found)}" if found else "connect one: this machine has none"
        return SourceNotFoundError(name, "there is no such camera", remedy)
    if code == errno.EBUSY:
        return SourceAccessError(name, "the camera is in use", "close the program that has it")
    if code in (errno.EACCES, errno.EPERM):
        remedy = "allow it: on Linux add yourself to the group video, elsewhere see the settings"
        return SourceAccessError(name, "the camera may not be used", remedy)
    remedy = "check that it is a camera and works in another program"
    return SourceUnreachableError(name, f"the camera gives no pictures ({reason})", remedy)
