"""Laws of the visual memory: the budget holds, time is ordered, nothing is lost that fits."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from videollm.errors import RequestError
from videollm.memory import VisualMemory, count_tokens
from videollm.memory_entry import MemoryEntry, entries_text
from videollm.memory_policies import POLICY_NAMES

WIDTH = 4
every_policy = pytest.mark.parametrize("policy", POLICY_NAMES)


def frames(count: int, *, tokens: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(count, tokens, WIDTH, generator=torch.Generator().manual_seed(seed))


def filled(count: int, policy: str = "merge", *, budget: int = 12, recent: int = 3) -> VisualMemory:
    memory = VisualMemory(budget, recent, policy)
    memory.add(frames(count), [(float(second), second + 0.5) for second in range(count)])
    return memory


def check_laws(memory: VisualMemory, query: Tensor | None) -> None:
    """Law 10: never above budget, times ordered, recent frames whole, spans within what was."""
    for entries in (memory.entries, memory.view(query)):
        assert count_tokens(entries) <= memory.options.budget_tokens
        for before, after in zip(entries, entries[1:], strict=False):
            assert before.last_frame < after.first_frame
            assert before.start_seconds <= before.end_seconds <= after.start_seconds
        recent = entries[-memory.options.recent_frames :]
        first = memory.num_frames - len(recent)
        assert [entry.first_frame for entry in recent] == list(range(first, memory.num_frames))
        assert all(entry.weight == 1 for entry in recent)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_the_budget_holds_and_times_stay_ordered(data: st.DataObject) -> None:
    policy = data.draw(st.sampled_from(POLICY_NAMES))
    recent = data.draw(st.integers(1, 4))
    budget = data.draw(st.integers(3 * recent, 40))
    memory = VisualMemory(budget, recent, policy, bank_mib=data.draw(st.floats(2e-4, 1e-2)))
    # The first frame has most tokens: a bank's places are made for it.
    counts = [3, *data.draw(st.lists(st.integers(1, 3), max_size=60))]
    query = data.draw(st.sampled_from([None, torch.ones(WIDTH)]))
    second, generator = 0.0, torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    for tokens in counts:
        second += data.draw(st.sampled_from([0.0, 0.5, 30.0]))
        memory.add([torch.randn(tokens, WIDTH, generator=generator)], [(second, second)])
        check_laws(memory, query)
    assert memory.num_frames == len(counts)
    if memory.bank is not None:
        assert memory.bank.nbytes <= memory.bank.max_bytes


@every_policy
def test_what_fits_is_held_as_it_is(policy: str) -> None:
    memory = filled(6, policy)
    assert torch.equal(torch.stack([entry.tokens for entry in memory.view()]), frames(6))
    assert memory.num_tokens == (6 if policy == "retrieve" else 12)
    assert memory.nbytes == memory.num_tokens * WIDTH * 4


@every_policy
def test_a_hundred_times_more_frames_hold_the_same_bytes(policy: str) -> None:
    sizes = [
        (filled(count, policy).nbytes, filled(count, policy).num_tokens) for count in (20, 2000)
    ]
    assert sizes[0] == sizes[1]


def test_merge_is_the_weighted_mean_of_the_frames_of_its_span() -> None:
    all_frames = frames(40)
    entries = filled(40).entries
    assert sum(entry.weight for entry in entries) == 40
    for entry in entries:
        expected = all_frames[entry.first_frame : entry.last_frame + 1].mean(dim=0)
        torch.testing.assert_close(entry.tokens, expected)
        assert (entry.start_seconds, entry.end_seconds) == (
            entry.first_frame,
            entry.last_frame + 0.5,
        )


def test_merge_leaves_the_one_frame_that_is_different() -> None:
    still = torch.ones(30, 2, WIDTH)
    still[11] = torch.tensor([1.0, -1.0, 1.0, -1.0])
    memory = VisualMemory(12, 2, "merge")
    memory.add(still, [(float(second), float(second)) for second in range(30)])
    (event,) = [entry for entry in memory.entries if entry.first_frame == 11]
    assert event.weight == 1
    assert torch.equal(event.tokens, still[11])


def test_fifo_holds_the_end_and_uniform_all_of_it() -> None:
    assert [entry.first_frame for entry in filled(40, "fifo").entries] == list(range(34, 40))
    kept = [entry.first_frame for entry in filled(400, "uniform", budget=40).entries]
    gaps = [after - before for before, after in zip(kept[:-3], kept[1:-2], strict=True)]
    assert kept[0] == 0
    assert max(gaps) <= 3 * min(gaps[:-1])


def test_retrieve_brings_back_what_is_nearest_the_question() -> None:
    memory = VisualMemory(10, 3, "retrieve")
    own = torch.zeros(50, 2, WIDTH)
    own[:, :, 0] = 1.0
    own[17, :, :2] = torch.tensor([0.0, 1.0])
    memory.add(own, [(float(second), float(second)) for second in range(50)])
    seen = memory.view(torch.tensor([0.0, 1.0, 0.0, 0.0]))
    assert 17 in [entry.first_frame for entry in seen]
    spread = [entry.first_frame for entry in memory.view()]
    assert spread[0] == 0
    assert len(spread) == len(seen) == 5


@every_policy
def test_once_not_everything_fits_what_is_nearest_the_question_is_shown(policy: str) -> None:
    memory = VisualMemory(12, 2, policy, shown_tokens=8)
    needle = torch.zeros(1, 2, WIDTH)
    needle[..., 0] = 9.0
    still = torch.zeros(1, 2, WIDTH)
    still[..., 1] = 1.0
    seen = [still] * 6
    memory.add(torch.cat(seen), [(float(second), float(second)) for second in range(6)])
    assert count_tokens(memory.view(needle[0, 0])) == 12, "everything fits and is shown"
    memory.add(torch.cat([needle, still, still]), [(6.0, 6.0), (7.0, 7.0), (8.0, 8.0)])
    shown = memory.view(needle[0, 0])
    assert count_tokens(shown) <= 8
    assert [entry.first_frame for entry in shown[-2:]] == [7, 8]
    assert any(torch.equal(entry.tokens, needle[0]) for entry in shown)
    evenly = memory.view(None)
    assert count_tokens(evenly) <= 8
    assert [entry.first_frame for entry in evenly[-2:]] == [7, 8]


def test_a_full_bank_thins_out_evenly() -> None:
    memory = VisualMemory(10, 3, "retrieve", bank_mib=30 * (2 + 1) * WIDTH * 4 / 2**20)
    memory.add(frames(500), [(float(second), float(second)) for second in range(500)])
    assert memory.bank is not None
    kept = [entry.first_frame for entry in memory.bank.entries]
    assert kept == list(range(0, 497, 32))
    assert torch.equal(memory.bank.entries[-1].tokens, frames(500)[kept[-1]])


def test_a_bank_on_disk_is_as_one_in_memory_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "bank"
    on_disk = VisualMemory(10, 3, "retrieve", bank_path=path)
    in_memory = VisualMemory(10, 3, "retrieve")
    for memory in (on_disk, in_memory):
        memory.add(frames(40), [(float(second), float(second)) for second in range(40)])
    query = torch.ones(WIDTH)
    for one, other in zip(on_disk.view(query), in_memory.view(query), strict=True):
        assert one.first_frame == other.first_frame
        assert torch.equal(one.tokens, other.tokens)
    assert path.stat().st_size > 0
    with pytest.raises(RequestError, match="exists already: give a new name"):
        VisualMemory(10, 3, "retrieve", bank_path=path)
    del on_disk, memory
    assert not path.exists()
    with pytest.raises(RequestError, match="cannot be made"):
        VisualMemory(10, 3, "retrieve", bank_path=tmp_path / "no" / "bank")


@every_policy
def test_a_frame_that_is_not_whole_is_seen_and_not_kept(policy: str) -> None:
    memory = filled(30, policy)
    before = memory.entries
    last = MemoryEntry(
        tokens=frames(1)[0], first_frame=30, last_frame=30, start_seconds=30.0, end_seconds=30.0
    )
    seen = memory.view(pending=last)
    assert seen[-1] is last
    assert count_tokens(seen) <= 12
    assert memory.entries == before


def entry(first: int, last: int) -> MemoryEntry:
    return MemoryEntry(
        tokens=torch.zeros(1, WIDTH),
        first_frame=first,
        last_frame=last,
        start_seconds=float(first),
        end_seconds=last + 0.5,
    )


def test_times_in_the_prompt_follow_the_spans() -> None:
    def text(*spans: tuple[int, int], stride: int = 2) -> str:
        entries = tuple(entry(*span) for span in spans)
        return entries_text(entries, time_stride=stride, placeholder="*")

    assert text((0, 0), (1, 1), (2, 2), (3, 3)) == "0.0s:**2.0s:**"
    assert text((12, 19), (20, 20), (21, 21)) == "12.0s-19.5s:*20.0s:**"
    assert text((0, 0), (1, 1), (5, 5), (6, 6)) == "0.0s:**5.0s:**"
    assert text((0, 0), (1, 4)) == "0.0s:*1.0s-4.5s:*"
    assert text((0, 3), (4, 4), stride=0) == "**"
    assert text((0, 3), (4, 6), (7, 9), (10, 10)) == "0.0s-6.5s:**7.0s-9.5s:*10.0s:*"
    assert text((0, 3), (4, 6), stride=1) == "0.0s-3.5s:*4.0s-6.5s:*"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "best"}, "policy is 'best'; it is one of merge, fifo, uniform, retrieve"),
        ({"recent_frames": 0}, "recent_frames is 0; keep at least 1 whole"),
        ({"budget_tokens": 2}, "raise the budget or keep fewer"),
        ({"shown_tokens": 2}, "shown_tokens is 2; 3 recent frames"),
        ({"bank_mib": 0.0}, "bank_mib is 0.0"),
        ({"bank_path": "bank"}, "only 'retrieve'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        VisualMemory(**{"budget_tokens": 12, "recent_frames": 3, **options})


def test_what_is_refused_changes_nothing() -> None:
    memory = filled(5)
    before = memory.entries
    with pytest.raises(RequestError, match=r"times go backwards: 3 s to 3 s after 4.5 s"):
        memory.add(frames(2), [(9.0, 9.0), (3.0, 3.0)][::-1])
    with pytest.raises(RequestError, match="budget_tokens is 12; the last 3 frames have"):
        memory.add(frames(1, tokens=10), [(9.0, 9.0)])
    with pytest.raises(RequestError, match="14 tokens are given"):
        memory.restore([entry(frame, frame) for frame in range(14)], 14)
    tiny = VisualMemory(12, 3, "retrieve", bank_mib=1e-5)
    with pytest.raises(RequestError, match="raise bank_mib"):
        tiny.add(frames(4), [(float(second), float(second)) for second in range(4)])
    assert memory.entries == before
    memory.add(frames(1), [(9.0, 9.0)])
    assert memory.num_frames == 6
