"""Laws of a stream: streamed is as whole, saved goes on, memory is bounded, threads do not mix."""

import threading
from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_videollm
from videollm import VideoLLM
from videollm.clip import Clip
from videollm.errors import DataError, ModelError, RequestError
from videollm.stream_record import StreamAnswer
from videollm.streaming import StreamSession
from videollm.visual_stream import VisualStream

QUESTION = "What?"
every_policy = pytest.mark.parametrize("policy", ["merge", "fifo", "uniform", "retrieve"])


@pytest.fixture(scope="module")
def model(tiny_llm: Path) -> VideoLLM:
    return VideoLLM(*tiny_videollm(tiny_llm, tubelet_size=2), name="tiny")


def clip(frames: int, *, seed: int = 0) -> Clip:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (frames, 3, 16, 16), generator=generator, dtype=torch.uint8)
    return Clip(frames=pixels, pts_seconds=torch.arange(frames, dtype=torch.float64) / 2)


def pushed(session: StreamSession, own: Clip, *sizes: int, start: int = 0) -> StreamSession:
    """Push a clip from a frame on, in parts of these sizes, then the rest."""
    stops = [start]
    for size in sizes:
        stops.append(min(stops[-1] + size, len(own)))
    for first, last in zip(stops, [*stops[1:], len(own)], strict=True):
        if first < last:
            session.push(own.frames[first:last], own.pts_seconds[first:last])
    return session


@every_policy
@pytest.mark.parametrize(("frames", "sizes"), [(12, (1, 1, 3, 2)), (11, (4, 5)), (1, ())])
def test_stream_then_ask_equals_ask_on_the_whole(
    model: VideoLLM, policy: str, frames: int, sizes: tuple[int, ...]
) -> None:
    own = clip(frames)
    session = pushed(model.stream(budget_tokens=24, recent_frames=2, policy=policy), own, *sizes)
    answer = session.answer(QUESTION, max_new_tokens=12)
    whole = model.ask(own, QUESTION, max_new_tokens=12)
    assert answer.answer == whole.answer
    assert answer.tokens_held == whole.visual_tokens
    assert (answer.at_seconds, answer.frames_seen) == ((frames - 1) / 2, frames)


@every_policy
def test_saved_and_loaded_it_answers_and_goes_on_as_before(
    model: VideoLLM, policy: str, tmp_path: Path
) -> None:
    own, path = clip(61), tmp_path / "session.safetensors"
    options = {"budget_tokens": 24, "recent_frames": 2, "policy": policy, "bank_mib": 0.005}
    session = model.stream(**options)
    session.push(own.frames[:41], own.pts_seconds[:41])
    session.save(path)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    loaded = model.load_stream(path)
    for _ in range(2):
        one, other = (each.answer(QUESTION, max_new_tokens=12) for each in (session, loaded))
        assert other.answer == one.answer
        before, after = session.stats(), loaded.stats()
        for name in ("frames_seen", "seconds_seen", "tokens_held", "state_bytes", "bank_bytes"):
            assert getattr(after, name) == getattr(before, name), name
        for each in (session, loaded):
            if each.stats().frames_seen < len(own):
                each.push(own.frames[41:], own.pts_seconds[41:])


@pytest.mark.parametrize("policy", ["merge", "retrieve"])
def test_a_hundred_times_more_frames_are_as_many_bytes(model: VideoLLM, policy: str) -> None:
    session = model.stream(budget_tokens=16, recent_frames=2, policy=policy, bank_mib=0.005)
    own, sizes = clip(100), []
    for start in range(0, 1000, 100):
        session.push(own.frames, own.pts_seconds + start / 2)
        if start in (0, 900):
            assert session.answer(QUESTION, max_new_tokens=1).tokens_held == 16
        stats = session.stats()
        sizes.append((stats.state_bytes, stats.memory_bytes, stats.tokens_held))
        assert stats.bank_bytes <= 0.005 * 2**20
        assert stats.cache_bytes < 150_000
    assert len(set(sizes)) == 1
    assert stats.frames_seen == 1000


def test_what_the_prompt_shares_with_the_last_is_not_read_again(model: VideoLLM) -> None:
    session = pushed(model.stream(budget_tokens=24, recent_frames=2), clip(24), 12)
    first = session.answer(QUESTION)
    again = session.answer("What else?", max_new_tokens=12)
    assert first.reused_tokens == 0
    assert again.reused_tokens > again.tokens_held
    fresh = pushed(model.stream(budget_tokens=24, recent_frames=2), clip(24))
    assert fresh.answer("What else?", max_new_tokens=12).answer == again.answer
    more = clip(40)
    pushed(session, more, start=24)
    after = session.answer(QUESTION, max_new_tokens=12)
    assert after.reused_tokens < again.reused_tokens
    fresh = pushed(model.stream(budget_tokens=24, recent_frames=2), more)
    fresh.prepare()
    expected = fresh.answer(QUESTION, max_new_tokens=12)
    assert after.answer == expected.answer
    assert expected.reused_tokens > expected.tokens_held


@pytest.mark.parametrize("prefill_tokens", [1, 7, 1000])
def test_a_prompt_read_in_chunks_gives_the_same_answer(
    model: VideoLLM, prefill_tokens: int
) -> None:
    session = pushed(model.stream(prefill_tokens=prefill_tokens), clip(12))
    expected = model.ask(clip(12), QUESTION, max_new_tokens=12).answer
    assert session.answer(QUESTION, max_new_tokens=12).answer == expected


def test_frames_arrive_while_an_answer_is_read(model: VideoLLM) -> None:
    session = pushed(model.stream(budget_tokens=24, recent_frames=2), clip(12))
    own = clip(60)
    expected = session.answer(QUESTION, max_new_tokens=60).answer
    pieces = session.ask(QUESTION, max_new_tokens=60)
    texts = [next(pieces)]
    brought = threading.Thread(target=pushed, args=(session, own, *[5] * 9), kwargs={"start": 12})
    brought.start()
    texts += list(pieces)
    brought.join()
    assert "".join(texts).strip() == expected
    assert session.stats().frames_seen == 60
    after = pushed(model.stream(budget_tokens=24, recent_frames=2), own)
    assert session.answer(QUESTION).answer == after.answer(QUESTION).answer


def test_two_answers_or_two_pushes_at_once_are_refused(
    model: VideoLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = pushed(model.stream(), clip(4))
    pieces = session.ask(QUESTION)
    next(pieces)
    with pytest.raises(RequestError, match="another answer is still being read"):
        session.ask(QUESTION)
    pieces.close()
    assert session.answer(QUESTION).answer == model.ask(clip(4), QUESTION).answer

    entered, go_on = threading.Event(), threading.Event()
    take = session._visual.take

    def slow(own: Clip, others: list[VisualStream]) -> None:
        entered.set()
        go_on.wait()
        take(own, others)

    monkeypatch.setattr(session._visual, "take", slow)
    worker = threading.Thread(target=pushed, args=(session, clip(8)), kwargs={"start": 4})
    worker.start()
    entered.wait()
    with pytest.raises(RequestError, match="another push is running"):
        session.push(clip(1).frames, [9.0])
    go_on.set()
    worker.join()
    assert session.answer(QUESTION).answer == model.ask(clip(8), QUESTION).answer


def test_a_standing_question_is_heard_of_when_its_answer_changes(
    model: VideoLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = model.stream(budget_tokens=24, recent_frames=2)
    heard: list[StreamAnswer] = []
    asked: list[float] = []
    ask = session._answer_if_free

    def answered(question: str) -> StreamAnswer | None:
        found = ask(question)
        assert found is not None
        asked.append(found.at_seconds)
        return found

    monkeypatch.setattr(session, "_answer_if_free", answered)
    session.stand(QUESTION, heard.append, every_seconds=2.0)
    own = clip(12)
    pushed(session, own, *[1] * 12)
    assert asked == [0.0, 2.0, 4.0]
    assert all(one.answer != two.answer for one, two in zip(heard, heard[1:], strict=False))
    assert heard[0].at_seconds == 0.0
    with pytest.raises(RequestError, match="stands already"):
        session.stand(QUESTION, heard.append)
    session.take_back(QUESTION)
    with pytest.raises(RequestError, match="does not stand"):
        session.take_back(QUESTION)
    with pytest.raises(RequestError, match="every_seconds is 0"):
        session.stand(QUESTION, heard.append, every_seconds=0)


def test_a_standing_question_waits_while_the_user_reads(model: VideoLLM) -> None:
    session = pushed(model.stream(), clip(4))
    heard: list[StreamAnswer] = []
    session.stand("Who?", heard.append)
    pieces = session.ask(QUESTION)
    next(pieces)
    session.push(clip(1).frames, [9.0])
    assert heard == []
    pieces.close()
    session.push(clip(1).frames, [9.5])
    assert [one.at_seconds for one in heard] == [9.5]


def test_earlier_turns_stay_as_far_as_their_tokens_go(model: VideoLLM) -> None:
    session = pushed(model.stream(talk_tokens=60), clip(4))
    one = session.answer("One?", max_new_tokens=4)
    two = session.answer("Two?", max_new_tokens=4)
    history = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": one.answer}]
    assert two.answer == model.ask(clip(4), "Two?", history=history, max_new_tokens=4).answer
    lengths = [session.answer("More?", max_new_tokens=4).prompt_tokens for _ in range(12)]
    assert max(lengths) < two.prompt_tokens + 120
    assert lengths[-1] <= max(lengths[:6])


def test_fp8_holds_a_quarter_of_the_bytes(model: VideoLLM) -> None:
    sizes = {}
    for kind in ("plain", "fp8"):
        session = pushed(model.stream(kv_cache=kind), clip(40))
        session.answer(QUESTION, max_new_tokens=4)
        sizes[kind] = session.stats().cache_bytes
    assert sizes["fp8"] < 0.3 * sizes["plain"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget_tokens": 16, "recent_frames": 5}, "5 recent frames of 4 tokens need 20"),
        ({"policy": "retrieve", "bank_mib": 1e-4}, "raise bank_mib"),
        ({"kv_cache": "tiny"}, "kv_cache is 'tiny'; it is one of plain, offloaded"),
        ({"kv_cache": "offloaded"}, "use 'plain'"),
        ({"kv_cache": "quanto"}, "needs the package optimum-quanto"),
        ({"chunk_frames": 0}, "chunk_frames is 0; it is at least 1"),
        ({"frames": 3}, "a stream has no option frames; there are bank_mib"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    model: VideoLLM, options: dict, message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        model.stream(**options)


def test_bad_input_leaves_the_session_usable(model: VideoLLM) -> None:
    session, own = model.stream(), clip(6)
    with pytest.raises(RequestError, match="nothing was pushed yet"):
        session.ask(QUESTION)
    pushed(session, own)
    with pytest.raises(RequestError, match=r"times go backwards: 1 s after 2.5 s"):
        session.push(own.frames[:1], [1.0])
    for frames, seconds, message in [
        (own.frames[:2], [5.0, 4.0], "the times fall"),
        (own.frames[:2], [5.0], "do not have one time each"),
        (own.frames.float(), [5.0] * 6, "a dtype is wrong"),
        (own.frames[:0], [], "the wrong shape"),
        ("frames", [5.0], "push: "),
        (own.frames[:1], ["soon"], "push: "),
    ]:
        with pytest.raises(RequestError, match=message):
            session.push(frames, seconds)
    with pytest.raises(RequestError, match="the question is empty"):
        session.ask(" ")
    with pytest.raises(RequestError, match="the language model reads 2048"):
        session.ask(QUESTION, max_new_tokens=2000)
    assert session.answer(QUESTION).answer == model.ask(own, QUESTION).answer


def test_session_files_of_others_are_refused(
    model: VideoLLM, tiny_llm: Path, tmp_path: Path
) -> None:
    path = tmp_path / "session.safetensors"
    session = pushed(model.stream(), clip(4))
    session.save(path)
    other, processor = tiny_videollm(tiny_llm, tubelet_size=2, num_layers=4)
    with pytest.raises(ModelError, match="written with another model"):
        VideoLLM(other, processor, name="other").load_stream(path)
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="no session of a stream can be read"):
        model.load_stream(path)
    with pytest.raises(DataError, match="no session of a stream can be read"):
        model.load_stream(tmp_path / "absent")
    session._visual.progress.state.save(path)
    with pytest.raises(DataError, match="not a session of a stream"):
        model.load_stream(path)
    with pytest.raises(DataError, match="cannot be written"):
        session.save(tmp_path / "no" / "session")
    assert session.answer(QUESTION).answer == model.ask(clip(4), QUESTION).answer


def test_a_bidirectional_encoder_cannot_stream(tiny_llm: Path) -> None:
    both = VideoLLM(*tiny_videollm(tiny_llm, scan_mode="bidirectional"), name="both")
    with pytest.raises(RequestError, match="a stream needs a frame_causal one"):
        both.stream()
