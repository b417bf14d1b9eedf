"""Laws of keyframes, scenes and segments: what they show, where, and the same everywhere."""

import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.videollm.drawn import draw_video, numbered_frames, numbers_of
from videollm.errors import LiveSourceError, RequestError
from videollm.sampling import choose_policy, choose_times, load_clip
from videollm.sampling_policies import (
    sample_keyframes,
    sample_scenes,
    sample_segments,
    sample_uniform,
)
from videollm.scenes import Cut, cuts_of, find_cuts
from videollm.video import VideoReader
from videollm.video_backends import BACKENDS
from videollm.video_track import VideoMetadata
from videollm.video_worker import DecodeWorker

FPS = 30
SHADES = [30, 220, 90, 160, 10]
CUTS = [12, 40, 61, 90]
"""Frames at which the drawn video changes its shade."""


def metadata_of(duration_seconds: float, keyframe_seconds: Sequence[float] = ()) -> VideoMetadata:
    return VideoMetadata(
        source="a.mp4",
        duration_seconds=duration_seconds,
        fps=30.0,
        num_frames=1,
        height=4,
        width=4,
        codec="h264",
        keyframe_seconds=tuple(keyframe_seconds),
    )


def scenes_video(num_frames: int = 120, *, options: dict[str, str] | None = None) -> bytes:
    """Return shades that change at `CUTS`, with a spot that runs across all the time."""
    frames = np.empty((num_frames, 48, 64, 3), np.uint8)
    edges = [0, *CUTS, num_frames]
    for shade, (start, stop) in zip(SHADES, pairwise(edges), strict=True):
        frames[start:stop] = shade
    for number in range(num_frames):
        left = number % 56
        frames[number, 20:28, left : left + 8] = 128
    return draw_video(frames, rate=FPS, options={"g": "25", "sc_threshold": "0", **(options or {})})


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "scenes.mp4"
    path.write_bytes(scenes_video())
    return path


def test_keyframes_are_where_decoding_begins(video: Path) -> None:
    clip = load_clip(video, sampling="keyframes")
    assert clip.pts_seconds.tolist() == pytest.approx([n * 25 / FPS for n in range(5)])
    part = load_clip(video, sampling="keyframes", start_seconds=0.5, end_seconds=2.5)
    assert part.pts_seconds.tolist() == pytest.approx([25 / FPS, 50 / FPS])
    one = load_clip(video, sampling="keyframes", num_frames=1)
    assert one.pts_seconds.tolist() == pytest.approx([50 / FPS])
    numbered = draw_video(numbered_frames(60), options={"g": "12", "sc_threshold": "0"})
    assert numbers_of(load_clip(numbered, sampling="keyframes").frames) == [0, 12, 24, 36, 48]


@settings(deadline=None)
@given(num_keys=st.integers(1, 200), max_frames=st.integers(1, 64), share=st.floats(0, 0.9))
def test_keyframes_are_thinned_evenly(num_keys: int, max_frames: int, share: float) -> None:
    keys = [float(number) for number in range(num_keys)]
    metadata = metadata_of(float(num_keys), keys)
    start = share * num_keys
    inside = [key for key in keys if key >= start]
    if not inside:
        with pytest.raises(RequestError, match="no keyframe from"):
            sample_keyframes(metadata, max_frames, start_seconds=start)
        return
    times = sample_keyframes(metadata, max_frames, start_seconds=start)
    assert len(times) == min(max_frames, len(inside))
    assert set(times) <= set(inside)
    gaps = [after - before for before, after in pairwise(times)]
    assert max(gaps, default=1) - min(gaps, default=1) <= 1
    # As much is left out at the beginning as at the end.
    assert abs((times[0] - inside[0]) - (inside[-1] - times[-1])) <= 1


def test_unknown_keyframes_are_refused() -> None:
    raw = draw_video(numbered_frames(5), container="h264")
    with pytest.raises(RequestError, match="not known where the keyframes.*choose uniform"):
        load_clip(raw, sampling="keyframes")
    with pytest.raises(RequestError, match="max_frames is 0"):
        sample_keyframes(metadata_of(2.0, [0.0]), 0)
    pictures = numbered_frames(6)
    with VideoReader.open(pictures, fps=2) as reader:
        assert len(reader.read(choose_times(reader, sampling="keyframes"))) == 6


def test_cuts_are_found_where_they_are_and_motion_is_none(video: Path) -> None:
    with VideoReader.open(video) as reader:
        cuts = find_cuts(reader, 0.0, reader.metadata.duration_seconds)
        assert [cut.seconds for cut in cuts] == pytest.approx([n / FPS for n in CUTS], abs=1 / 25)
        part = find_cuts(reader, 1.0, 2.5)
        assert [cut.seconds for cut in part] == pytest.approx([40 / FPS, 61 / FPS], abs=1 / 25)
    steady = numbered_frames(40)
    steady[:] = np.linspace(20, 200, 40, dtype=np.uint8)[:, None, None, None]
    with VideoReader.open(steady, fps=FPS) as reader:
        assert find_cuts(reader, 0.0, reader.metadata.duration_seconds) == []


def test_cuts_do_not_depend_on_the_chunks_of_reading(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for chunk in (1, 2, 7, 1000):
        monkeypatch.setattr("videollm.scenes.CHUNK_PICTURES", chunk)
        with VideoReader.open(video) as reader:
            found.append(find_cuts(reader, 0.0, reader.metadata.duration_seconds))
    assert found[0] == found[1] == found[2] == found[3]


def test_a_cut_stands_out_from_its_neighbourhood() -> None:
    times = [float(number) for number in range(9)]
    assert cuts_of(times, [0.01] * 9) == []
    assert cuts_of(times, [0.2] * 9) == []
    assert cuts_of(times, [0.0] * 4 + [0.3] + [0.0] * 4) == [Cut(4.0, 0.3)]
    assert cuts_of(times, [0.0] * 4 + [0.3, 0.3] + [0.0] * 3) == [Cut(4.0, 0.3)]
    assert cuts_of([1.0], [0.5]) == [Cut(1.0, 0.5)]
    assert cuts_of([], []) == []


@settings(deadline=None)
@given(
    cuts=st.lists(st.tuples(st.floats(0.01, 9.99), st.floats(0.1, 1)), max_size=20),
    num_frames=st.integers(1, 40),
    start=st.floats(0, 4),
)
def test_every_scene_is_shown(
    cuts: list[tuple[float, float]], num_frames: int, start: float
) -> None:
    metadata = metadata_of(10.0)
    found = [Cut(*cut) for cut in cuts]
    times = sample_scenes(metadata, found, num_frames, start_seconds=start)
    assert len(times) == num_frames
    assert times == sorted(times)
    assert all(start <= time <= 10 for time in times)
    strongest = sorted(
        (cut for cut in found if start < cut.seconds < 10),
        key=lambda cut: (-cut.strength, cut.seconds),
    )
    edges = [start, *sorted({cut.seconds for cut in strongest[: num_frames - 1]}), 10.0]
    assert all(any(a <= time <= b for time in times) for a, b in pairwise(edges))
    assert sample_scenes(metadata, [], num_frames, start_seconds=start) == pytest.approx(
        sample_uniform(metadata, num_frames, start_seconds=start)
    )


def test_a_clip_of_scenes_shows_each_shade(video: Path) -> None:
    for num_frames in (5, 8, 16):
        clip = load_clip(video, sampling="scenes", num_frames=num_frames)
        assert len(clip) == num_frames
        corners = clip.frames[:, 0, 2, 2].tolist()
        assert {min(SHADES, key=lambda shade: abs(shade - corner)) for corner in corners} == set(
            SHADES
        )
    few = load_clip(video, sampling="scenes", num_frames=2)
    assert abs(int(few.frames[0, 0, 2, 2]) - int(few.frames[1, 0, 2, 2])) > 50


def test_segments_are_the_same_for_the_same_seed_and_any_frame_of_each() -> None:
    metadata = metadata_of(8.0)
    drawn = [sample_segments(metadata, 4, rng=np.random.default_rng(7)) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert [int(time // 2) for time in drawn[0]] == [0, 1, 2, 3]
    assert sample_segments(metadata, 4, rng=np.random.default_rng(8)) != drawn[0]


PROGRAM = """
import json, sys
import numpy as np
from videollm.sampling import load_clip
from videollm.sampling_policies import sample_segments
from videollm.video import VideoReader
found = {}
for policy in ("uniform", "keyframes", "scenes"):
    found[policy] = load_clip(sys.argv[1], sampling=policy, num_frames=7).pts_seconds.tolist()
found["fps"] = load_clip(sys.argv[1], fps=3.0).pts_seconds.tolist()
with VideoReader.open(sys.argv[1]) as reader:
    rng = np.random.default_rng(3)
    found["segments"] = sample_segments(reader.metadata, 7, rng=rng)
print(json.dumps(found))
"""


def chosen(video: Path, reader: VideoReader | None = None) -> dict[str, list[float]]:
    source = reader or video
    found = {
        policy: load_clip(source, sampling=policy, num_frames=7).pts_seconds.tolist()
        for policy in ("uniform", "keyframes", "scenes")
    }
    found["fps"] = load_clip(source, fps=3.0).pts_seconds.tolist()
    return found


def test_every_process_and_back_end_chooses_the_same_frames(video: Path) -> None:
    ours = chosen(video)
    with VideoReader.open(video) as reader:
        rng = np.random.default_rng(3)
        ours["segments"] = sample_segments(reader.metadata, 7, rng=rng)
    words = [sys.executable, "-c", PROGRAM, str(video)]
    told = subprocess.run(words, capture_output=True, check=True, text=True)
    assert json.loads(told.stdout) == ours
    del ours["segments"]
    for backend in BACKENDS[1:]:
        pytest.importorskip(backend)
        with VideoReader.open(video, backend=backend) as reader:
            assert chosen(video, reader) == ours, backend
    with DecodeWorker() as worker, worker.open(video) as theirs:
        times = choose_times(theirs, sampling="scenes", num_frames=7)
        assert theirs.read(times).pts_seconds.tolist() == ours["scenes"]


def test_policies_are_named_and_go_with_their_numbers(video: Path) -> None:
    assert (choose_policy(None, None), choose_policy(None, 2.0)) == ("uniform", "fps")
    with pytest.raises(RequestError, match="sampling is 'all'; choose uniform, fps, keyframes"):
        choose_policy("all", None)
    with pytest.raises(RequestError, match="fps is not given"):
        load_clip(video, sampling="fps")
    with pytest.raises(RequestError, match="fps is 2.0 with sampling 'scenes'"):
        load_clip(video, sampling="scenes", fps=2.0)
    for policy in ("uniform", "keyframes", "scenes"):
        with pytest.raises(RequestError, match="start_seconds is 9"):
            load_clip(video, sampling=policy, start_seconds=9.0)


@pytest.mark.parametrize("policy", ["uniform", "keyframes", "scenes"])
def test_a_live_source_has_no_past_to_choose_from(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Live:
        metadata = metadata_of(float("inf"))

        def read(self, times_seconds: Sequence[float], *, max_side: int | None = None) -> None:
            raise LiveSourceError("camera:0", "is live", "watch it")

    with pytest.raises(LiveSourceError):
        load_clip(Live(), sampling=policy)
