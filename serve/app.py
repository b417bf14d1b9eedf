"""`videollm serve`: the entry point of the chat page.

Reads the options, takes the port, and runs the web app until it is interrupted or its model
turns out not to load. The web framework is imported late: `--help` and a wrong option answer at
once, and a missing extra is one sentence.
"""

import argparse
import contextlib
import math
import os
import secrets
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from videollm import runtime
from videollm.errors import RequestError, VideoLLMError
from videollm.video_limits import DecodeLimits

if TYPE_CHECKING:
    import uvicorn

    from videollm.api import VideoLLM
    from videollm.serve.engine import Engine
    from videollm.video_worker import DecodeWorker

__all__ = ["main"]

EXAMPLE = """example:
  videollm serve --model demo --port 7860

Opens the chat page on this machine only. --host 0.0.0.0 lets the network in; there is no
password, so do that behind a proxy that asks for one."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted.

    Args:
        argv: Options as on the command line; those of the process by default.

    Returns:
        0 after an interrupt, 2 after a mistake of the user, which is printed as one line.
    """
    options = _parser().parse_args(argv)
    runtime.configure_logging(options.verbose)
    try:
        _serve(options)
    except VideoLLMError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="videollm serve",
        description="Open the chat page: choose a video, ask about it.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", default="demo", help="name or folder of a model (default: demo)")
    parser.add_argument("--adapter", help="folder of a LoRA adapter to put onto it")
    parser.add_argument("--quantization", help="nf4 (4 bits) or int8, of the LLM (default: none)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")
    parser.add_argument("--host", default="127.0.0.1", help="address (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="0 takes a free one (default: 7860)")
    parser.add_argument(
        "--open",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="open the page in a browser (default: where there is a desktop)",
    )
    parser.add_argument(
        "--share",
        action="store_true",
        help="make a public link through Gradio's servers: videos and questions pass them",
    )
    parser.add_argument("--verbose", action="store_true", help="say more on the terminal")
    _add_limits(parser)
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    usual = DecodeLimits()
    limits = parser.add_argument_group("what an uploaded video may cost, or it is refused")
    for option, value, words in (
        ("--open-seconds", usual.open_seconds, "time to find out what it is"),
        ("--decode-seconds", usual.decode_seconds, "time to decode the frames of a question"),
        ("--decode-memory-mib", usual.memory_bytes / 2**20, "memory for that"),
        ("--max-video-mib", usual.max_source_bytes / 2**20, "size of the file"),
        ("--max-megapixels", usual.max_pixels / 1e6, "size of a frame"),
    ):
        limits.add_argument(
            option, type=_amount, default=value, help=f"{words} (default: {value:.4g})"
        )


def _amount(text: str) -> float:
    amount = float(text)
    if not 0 < amount < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and finite")
    return amount


def _limits(options: argparse.Namespace) -> DecodeLimits:
    return DecodeLimits(
        open_seconds=options.open_seconds,
        decode_seconds=options.decode_seconds,
        memory_bytes=math.ceil(options.decode_memory_mib * 2**20),
        max_source_bytes=math.ceil(options.max_video_mib * 2**20),
        max_pixels=max(round(options.max_megapixels * 1e6), 1),
    )


def _serve(options: argparse.Namespace) -> None:
    """Run the server in the foreground.

    Raises:
        RequestError: The device, the address or the port cannot be used.
        ModelError: The model cannot be loaded.
    """
    runtime.pick_device(options.device)
    if options.model != "demo" and not Path(options.model).is_dir():
        # refuses a wrong name before a browser opens; a slow import, so only where it is needed
        from videollm.loading import resolve_model

        resolve_model(options.model)
    if options.quantization is not None:
        from videollm.quantize import check_quantization

        check_quantization(options.quantization)
    from videollm.video_worker import DecodeWorker

    with (
        _take_port(options.host, options.port) as listener,
        DecodeWorker(_limits(options)) as decoder,
    ):
        port = listener.getsockname()[1]
        server, engine = _build(options, decoder)
        helpers = (
            threading.Thread(target=_stop_without_model, args=(engine, server), daemon=True),
            threading.Thread(target=_announce, args=(server, port, options), daemon=True),
        )
        for helper in helpers:
            helper.start()
        # uvicorn raises the interrupt again once it has shut down in order
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    if engine.load_error is not None:
        raise engine.load_error


def _take_port(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise RequestError(f"port {port} does not exist: choose 1 to 65535, or 0 for any free one")
    try:
        # of the forms of an address, the first is the one that the system prefers
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise RequestError(f"host {host} is unknown ({error}): choose another --host") from error
    try:
        # a server that has just ended must not block its successor for a minute
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise RequestError(
            f"{host} port {port} cannot be used ({error}): choose another --port, or 0 for any "
            "free one"
        ) from error
    return listener


def _build(
    options: argparse.Namespace, decoder: "DecodeWorker"
) -> tuple["uvicorn.Server", "Engine"]:
    import uvicorn

    from videollm.serve.engine import Engine
    from videollm.serve.samples import load_samples
    from videollm.serve.web import create_app

    def load() -> "VideoLLM":
        # imported on the worker thread: the page does not wait for transformers
        from videollm.api import VideoLLM
        from videollm.serve.answering import warm_up

        model = VideoLLM.from_pretrained(
            options.model,
            adapter=options.adapter,
            quantization=options.quantization,
            device=options.device,
        )
        warm_up(model)
        return model

    engine = Engine(options.model, load, decode=decoder.load_clip)
    samples = load_samples()
    config = uvicorn.Config(
        lambda: create_app(engine, samples),
        factory=True,  # builds it on the server's event loop; Gradio leaves loops open elsewhere
        log_level="debug" if options.verbose else "warning",
        access_log=options.verbose,
        ws="none",
        timeout_graceful_shutdown=3,  # open pages hold a connection for ever
    )
    return uvicorn.Server(config), engine


def _stop_without_model(engine: "Engine", server: "uvicorn.Server") -> None:
    """End the server where its model turns out not to load."""
    engine.settled.wait()
    if engine.load_error is not None:
        server.should_exit = True


def _announce(server: "uvicorn.Server", port: int, options: argparse.Namespace) -> None:
    """Say where the page is, once it is there, and open it."""
    while not (server.started or server.should_exit):
        time.sleep(0.05)
    if server.should_exit:
        return
    host = options.host
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    address = f"http://{shown}:{port}"
    print(f"videollm is at {address} (stop it with Ctrl+C)", flush=True)
    if options.share:
        _make_public(port)
    if options.open or (options.open is None and _has_desktop()):
        webbrowser.open(address)


def _make_public(port: int) -> None:
    """Say the public address, or why there is none; the local page goes on in any case."""
    from gradio.networking import setup_tunnel

    try:
        public = setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"there is no public link: {error}", file=sys.stderr, flush=True)
    else:
        print(f"and for everyone who knows the link at {public}", flush=True)


def _has_desktop() -> bool:
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


if __name__ == "__main__":
    sys.exit(main())
