"""`videollm serve`: the entry point of the chat page.

Reads the options, takes the port, and runs the web app until it is interrupted or its model
turns out not to load. The web framework is imported late: `--help` and a wrong option answer at
once, and a missing extra is one sentence.
"""

import argparse
import contextlib
import logging
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
from videollm.serve.options import decode_limits, read_options

if TYPE_CHECKING:
    import uvicorn

    from videollm.api import VideoLLM
    from videollm.serve.engine import Engine
    from videollm.serve.service import Service
    from videollm.video_worker import DecodeWorker

__all__ = ["main"]

LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted.

    Args:
        argv: Options as on the command line; those of the process by default.

    Returns:
        0 after an interrupt, 2 after a mistake of the user, which is printed as one line.
    """
    try:
        options = read_options(argv)
        runtime.configure_logging(options.verbose)
        if not options.verbose:
            # what the core has to say of a video names its file
            for module in ("sampling", "video_file"):
                logging.getLogger(f"videollm.{module}").setLevel(logging.ERROR)
        _serve(options)
    except VideoLLMError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


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
        DecodeWorker(decode_limits(options)) as decoder,
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
    from videollm.serve.sample_worlds import world_of
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

    engine = Engine(
        options.model,
        load,
        adapter=options.adapter,
        max_waiting=options.max_waiting,
        max_batch=options.max_batch,
        longest_seconds=options.answer_seconds,
        decode=decoder.load_clip,
    )
    service = _service(options, engine, decoder)
    samples = load_samples(world=world_of(options.model)) if options.page else None
    names = _names(options)
    config = uvicorn.Config(
        lambda: create_app(
            engine,
            samples,
            max_upload_bytes=service.store.max_file_bytes,
            service=service,
            names=names,
        ),
        factory=True,  # builds it on the server's event loop; Gradio leaves loops open elsewhere
        log_level="debug" if options.verbose else "warning",
        access_log=options.verbose,
        ws="none",
        timeout_graceful_shutdown=math.ceil(options.grace_seconds),  # open pages stay connected
    )
    return uvicorn.Server(config), engine


def _service(options: argparse.Namespace, engine: "Engine", decoder: "DecodeWorker") -> "Service":
    from videollm.serve.addresses import AddressRule
    from videollm.serve.live_sessions import LiveSessions
    from videollm.serve.media_sources import MediaSources
    from videollm.serve.media_store import MediaStore
    from videollm.serve.service import Keys, Service

    folders = [Path(folder).absolute() for folder in options.allowed_media]
    for folder in folders:
        if not folder.is_dir():
            raise RequestError(f"--allowed-media {folder}: is no folder: make it, or leave it out")
    store = MediaStore(
        max_file_bytes=math.ceil(options.max_upload_mib * 2**20),
        max_bytes=math.ceil(options.store_mib * 2**20),
        keep_seconds=options.keep_seconds,
    )
    sources = MediaSources(
        store=store,
        rule=AddressRule(frozenset(options.allowed_hosts)),
        folders=folders,
        fetch_seconds=options.fetch_seconds,
    )
    live = LiveSessions(
        open_video=decoder.open,
        max_sessions=options.max_live,
        idle_seconds=options.live_idle_seconds,
    )
    keys = Keys(options.api_keys)
    return Service(engine=engine, store=store, sources=sources, live=live, keys=keys)


def _names(options: argparse.Namespace) -> frozenset[str] | None:
    """Return the names that a request may call this server by; None is any."""
    is_local = options.host in LOCAL_NAMES
    if options.share or not (is_local or options.public_names):
        return None
    return frozenset({*options.public_names, *LOCAL_NAMES})


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
    if host not in LOCAL_NAMES and not options.api_keys:
        words = "everybody who reaches this machine may use it: see --api-keys and docs/serving.md"
        print(words, file=sys.stderr, flush=True)
    if options.share:
        _make_public(port)
    if options.page and (options.open or (options.open is None and _has_desktop())):
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
