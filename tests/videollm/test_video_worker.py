"""Videos decoded in a process of their own: the same frames, and limits that hold."""

import io
import logging
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.queues import Queue
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.videollm.drawn import draw_video, numbered_frames, numbers_of
from tests.videollm.test_video_refusals import forged_gif
from videollm.errors import LiveSourceError, RequestError, VideoError
from videollm.sampling import load_clip
from videollm.video import VideoReader
from videollm.video_limits import DecodeLimits
from videollm.video_worker import DecodeWorker

TIMES = [0.95, 0.0, 0.3, 0.3]


@pytest.fixture(scope="module")
def mp4() -> bytes:
    return draw_video(numbered_frames(30), options={"g": "10"})


@pytest.fixture(scope="module")
def worker() -> Iterator[DecodeWorker]:
    # One for many tests: a process takes seconds to start on a busy machine.
    limits = DecodeLimits(max_frames=40, open_seconds=60, decode_seconds=60)
    made: list[DecodeWorker] = []
    # The thread ends, and must not take the process with it.
    thread = threading.Thread(target=lambda: made.append(DecodeWorker(limits)))
    thread.start()
    thread.join()
    with made[0] as shared:
        yield shared


@pytest.fixture
def silent() -> Iterator[str]:
    """Yield the address of a server that takes a request and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/a.mp4"


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_every_source_gives_what_the_reader_gives(
    worker: DecodeWorker, mp4: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "a \udcff.mp4"
    path.write_bytes(mp4)
    (tmp_path / "folder").mkdir()
    for number, pixels in enumerate(numbered_frames(4)):
        Image.fromarray(pixels).save(tmp_path / "folder" / f"{number}.png")
    with path.open("rb") as file:
        others = (file, tmp_path / "folder", numbered_frames(4))
        for source in (path, str(path), mp4, io.BytesIO(mp4), *others):
            with VideoReader.open(source) as here, worker.open(source) as there:
                assert there.metadata == here.metadata
                expected, clip = here.read(TIMES), there.read(TIMES)
            assert torch.equal(clip.frames, expected.frames)
            assert torch.equal(clip.pts_seconds, expected.pts_seconds)
            assert clip.frames.stride() == expected.frames.stride()
    for options in ({"num_frames": 5}, {"fps": 8.0, "start_seconds": 0.2, "max_frames": 6}):
        expected = load_clip(mp4, **options)
        clip = worker.load_clip(mp4, **options)
        assert torch.equal(clip.frames, expected.frames)
        assert torch.equal(clip.pts_seconds, expected.pts_seconds)


def test_a_clip_outlives_its_worker(mp4: bytes, worker: DecodeWorker) -> None:
    first = worker.load_clip(mp4, num_frames=3)
    second = worker.load_clip(draw_video(numbered_frames(60)[30:]), num_frames=3)
    first.frames[0] = 0
    assert numbers_of(first.frames) == [0, 15, 25]
    assert numbers_of(second.frames) == [35, 45, 55]


def test_refusals_are_those_of_the_reader(
    worker: DecodeWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mp4: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("words.mp4").write_text("only words " * 20)
    Path("folder").mkdir()
    pid = worker.pid
    for source in ("words.mp4", "none.mp4", Path("folder"), b"words", b"", io.StringIO("a")):
        with pytest.raises(VideoError) as expected:
            VideoReader.open(source)  # type: ignore[arg-type]
        with pytest.raises(VideoError) as caught, worker.open(source):  # type: ignore[arg-type]
            pass
        assert str(caught.value) == str(expected.value)
    with (
        pytest.raises(LiveSourceError, match=r"camera:7: is live .*videollm\.live"),
        worker.open(7),
    ):
        pass
    with pytest.raises(RequestError, match="must be left out"), worker.open(mp4, fps=5):
        pass
    with worker.open(mp4) as reader:
        with pytest.raises(RequestError, match="at least one, all of them finite"):
            reader.read([])
        with pytest.raises(RequestError, match="41 frames are asked for; ask for at most 40"):
            reader.read([0.0] * 41)
    with pytest.raises(ValueError, match="closed"):
        reader.read([0.0])
    assert worker.pid == pid, "a refusal costs no process"


def test_what_the_reader_warns_of_is_logged_here(
    worker: DecodeWorker, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 64, 64, 3), dtype=np.uint8)
    data = draw_video(noise, container="avi", codec="mpeg4", options={"g": "40"})
    logging.getLogger("videollm").setLevel(logging.NOTSET)
    with caplog.at_level(logging.WARNING):
        load_clip(data[:-200], num_frames=40)
        expected = [(record.name, record.getMessage()) for record in caplog.records]
        caplog.clear()
        worker.load_clip(data[:-200], num_frames=40)
    assert [(record.name, record.getMessage()) for record in caplog.records] == expected


def test_threads_take_turns(worker: DecodeWorker) -> None:
    videos = [draw_video(numbered_frames(20)[start:]) for start in range(8)]

    def first_number(video: bytes) -> int:
        return numbers_of(worker.load_clip(video, num_frames=2).frames)[0]

    with ThreadPoolExecutor(4) as threads:
        numbers = list(threads.map(first_number, videos * 3))
    expected = [numbers_of(load_clip(video, num_frames=2).frames)[0] for video in videos]
    assert numbers == expected * 3


def test_sizes_are_limited(mp4: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(mp4)
    limits = DecodeLimits(
        max_source_bytes=len(mp4) - 1, max_side=63, memory_bytes=10 * 2**20, max_frames=9000
    )
    with DecodeWorker(limits) as worker:
        for source in (path, mp4, io.BytesIO(mp4)):
            with pytest.raises(VideoError, match="MiB large; give at most"), worker.open(source):
                pass
        with pytest.raises(VideoError, match="64x16 pixels; scale them to at most 63 a side"):
            worker.load_clip(draw_video(numbered_frames(2, height=16)))
        with (
            pytest.raises(VideoError, match=r"8000 of its .* are 10 MiB; ask for fewer, 10 MiB"),
            worker.open(draw_video(numbered_frames(2, height=8, width=56))) as reader,
        ):
            reader.read([0.0] * 8000)
    with pytest.raises(ValueError, match="closed"), worker.open(b"x"):
        pass
    for field in ("open_seconds", "cpu_seconds", "max_frames"):
        with pytest.raises(RequestError, match=f"{field} is 0"):
            DecodeLimits(**{field: 0})


def test_time_is_limited_and_the_worker_comes_back(silent: str, mp4: bytes) -> None:
    with DecodeWorker(DecodeLimits(open_seconds=1.0)) as worker:
        assert len(worker.load_clip(mp4, num_frames=2)) == 2
        pid = worker.pid
        assert pid is not None
        start = time.monotonic()
        with pytest.raises(VideoError, match="opening it took more than 1 s and was stopped; "):
            worker.load_clip(silent)
        assert time.monotonic() - start < 4
        assert not is_alive(pid)
        assert worker.pid != pid
        assert len(worker.load_clip(mp4, num_frames=2)) == 2


@pytest.mark.parametrize(
    ("number", "finding"),
    [(signal.SIGSEGV, r"the decoder crashed on it \(SIGSEGV\)"), (signal.SIGKILL, "memory runs")],
)
def test_a_crash_is_an_error_of_the_video(
    silent: str, worker: DecodeWorker, mp4: bytes, number: int, finding: str
) -> None:
    worker.load_clip(mp4, num_frames=1)
    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(worker.load_clip, silent)
        time.sleep(0.3)
        assert worker.pid is not None
        os.kill(worker.pid, number)
        with pytest.raises(VideoError, match=finding):
            asking.result()


@pytest.mark.skipif(sys.platform != "linux", reason="the worker is looked at through /proc")
def test_memory_and_processor_time_are_limited(mp4: bytes) -> None:
    canvas = forged_gif(4000, 4000)  # 48 MB a picture, and decoders hold several
    with DecodeWorker(DecodeLimits(memory_bytes=40 * 2**20)) as worker:
        with pytest.raises(VideoError, match="needs more memory than the 40 MiB allowed"):
            worker.load_clip(canvas, num_frames=1)
        assert len(worker.load_clip(mp4, num_frames=2)) == 2
    noise = np.random.default_rng(0).integers(0, 255, (6, 512, 512, 3), dtype=np.uint8)
    long = draw_video(noise, container="mpegts", options={"preset": "ultrafast", "crf": "35"}) * 500
    with (
        DecodeWorker(DecodeLimits(cpu_seconds=1)) as worker,
        worker.open(long) as reader,
    ):
        with pytest.raises(VideoError, match="needs more than 1 s of processor time"):
            reader.read([1e6])
        with pytest.raises(VideoError, match="has ended; open it again"):
            reader.read([0.0])


def test_nothing_is_left_behind(silent: str, mp4: bytes) -> None:
    shared = Path("/dev/shm")
    before = set(shared.iterdir()) if shared.is_dir() else set()
    descriptors = len(os.listdir("/dev/fd"))
    with DecodeWorker(DecodeLimits(open_seconds=0.2)) as worker:
        for _ in range(2):
            clip = worker.load_clip(mp4, num_frames=20)
            with pytest.raises(VideoError, match="more than 0.2 s"):
                worker.load_clip(silent)
        pid = worker.pid
        assert pid is not None
    del clip
    assert not is_alive(pid)
    assert len(os.listdir("/dev/fd")) == descriptors
    assert (set(shared.iterdir()) if shared.is_dir() else set()) == before


OWNER = """
import sys
from videollm.video_worker import DecodeWorker
worker = DecodeWorker()
print(worker.pid, flush=True)
if sys.argv[1] == "busy":
    worker.load_clip(sys.argv[2])
sys.stdin.read()
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_no_worker_outlives_its_owner(state: str, silent: str) -> None:
    command = [sys.executable, "-c", OWNER, state, silent]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as owner:  # type: ignore[call-overload]
        pid = int(owner.stdout.readline())
        assert is_alive(pid)
        owner.kill()
    wait_for(lambda: not is_alive(pid))


def ask_a_copy(worker: DecodeWorker, video: bytes, answers: "Queue[object]") -> None:
    answers.put((worker.load_clip(video, num_frames=2).pts_seconds.tolist(), worker.pid))


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_gets_a_process_of_its_own(worker: DecodeWorker, mp4: bytes) -> None:
    expected = worker.load_clip(mp4, num_frames=2).pts_seconds.tolist()
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    copy = context.Process(target=ask_a_copy, args=(worker, mp4, answers))
    copy.start()
    times, pid = answers.get(timeout=60)
    copy.join()
    assert times == expected
    assert pid != worker.pid
    assert worker.load_clip(mp4, num_frames=2).pts_seconds.tolist() == expected


def test_the_process_imports_little(worker: DecodeWorker, mp4: bytes) -> None:
    check = (
        "import sys, videollm.video_worker_process\n"
        "print(sorted({'transformers', 'gradio', 'scipy', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
