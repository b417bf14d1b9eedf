"""Laws of the toy world's long videos: the same always, one needle a shot, true answers."""

import pytest
import torch

from videollm.errors import RequestError
from videollm.toyworld import (
    COLOURS,
    HAYSTACKS,
    NEEDLE_FAMILIES,
    SHAPES,
    LongVideo,
    make_long_video,
    needle_questions,
)

every_haystack = pytest.mark.parametrize("haystack", HAYSTACKS)


def several(haystack: str, index: int = 0) -> LongVideo:
    return make_long_video(haystack, index, 0, minutes=2, depths=(0.1, 0.4, 0.9))


@every_haystack
def test_the_frames_do_not_depend_on_how_they_are_asked_for(haystack: str) -> None:
    video = several(haystack)
    streamed = list(video.stream(2, size=16, chunk_frames=7))
    frames = torch.cat([clip.frames for clip in streamed])
    seconds = torch.cat([clip.pts_seconds for clip in streamed])
    assert len(frames) == 240
    assert torch.equal(seconds, (torch.arange(240, dtype=torch.float64) + 0.5) / 2)
    some = [3, 96, 97, 239]
    alone = several(haystack).render(seconds[some].tolist(), size=16)
    assert torch.equal(alone.frames, frames[some])
    assert torch.equal(alone.pts_seconds, seconds[some])


def test_in_a_quiet_video_a_needle_is_all_that_there_is() -> None:
    video = several("quiet")
    for number in range(video.num_shots):
        things = video.shot(number).objects
        needle = [one.thing for one in video.needles if one.shot == number]
        assert list(things) == needle
    assert [one.shot for one in video.needles] == [3, 12, 26]
    assert [one.begin_seconds for one in video.needles] == [12, 48, 104]


def test_the_chorus_has_no_needles_shape_or_colour() -> None:
    for index in range(20):
        video = several("busy", index)
        things = [one.thing for one in video.needles]
        assert len({thing.shape for thing in things}) == 3
        assert not {pair[0] for pair in video.chorus} & {thing.colour for thing in things}
        assert not {pair[1] for pair in video.chorus} & {thing.shape for thing in things}
        shots = [one.shot for one in video.needles]
        others = (video.shot(shot).objects for shot in range(video.num_shots) if shot not in shots)
        assert {thing.pair for objects in others for thing in objects} == set(video.chorus)


def test_a_number_has_the_same_needles_in_every_length() -> None:
    short, long = (
        make_long_video("quiet", 3, 1, minutes=length, depths=(0.5,)) for length in (1, 60)
    )
    assert short.needles[0].thing == long.needles[0].thing
    assert (short.num_shots, long.num_shots) == (15, 900)
    assert long.needles[0].shot == round(0.5 * 899)


@every_haystack
def test_answers_are_what_the_needles_are(haystack: str) -> None:
    for index in range(12):
        one = make_long_video(haystack, index, 0, minutes=1, depths=(0.5,))
        thing = one.needles[0].thing
        by_family = {question.family: question for question in needle_questions(one)}
        assert by_family["what"].answer == thing.shape
        assert by_family["colour"].answer == thing.colour
        assert by_family["motion"].answer == thing.motion
        moments = (by_family["when"].answer, *by_family["when"].aliases)
        assert moments == tuple(f"at {28 + half / 2:.1f} s" for half in range(9))
        assert thing.colour in by_family["what"].question.lower()
        assert thing.shape in by_family["colour"].question.lower()
        video = several(haystack, index)
        pairs = [" ".join(needle.thing.pair) for needle in video.needles]
        asked = {question.family: question for question in needle_questions(video)}
        assert {*by_family, *asked} == set(NEEDLE_FAMILIES)
        neighbour = asked["before_after"]
        known = next(pair for pair in pairs if pair in neighbour.question)
        step = 1 if " after " in neighbour.question else -1
        assert neighbour.answer == pairs[pairs.index(known) + step]
        is_last = "last" in asked["order"].question
        assert asked["order"].answer == pairs[-1 if is_last else 0]
        colours = [needle.thing.colour for needle in video.needles]
        count = 3 if haystack == "quiet" else colours.count(colours[0])
        assert asked["count"].answer == str(count)


def test_what_finds_no_place_is_refused() -> None:
    with pytest.raises(RequestError, match="no haystack 'loud': choose quiet or busy"):
        make_long_video("loud", 0, 0, minutes=1, depths=(0.5,))
    with pytest.raises(RequestError, match="both be at least 0"):
        make_long_video("quiet", -1, 0, minutes=1, depths=(0.5,))
    for depths in ((), (0.5, 0.4), (0.5, 0.51), (1.2,), (-0.1,), (0.0, 0.2, 0.4, 0.6, 0.8)):
        with pytest.raises(RequestError, match="find no place in 15 shots"):
            make_long_video("quiet", 0, 0, minutes=1, depths=depths)
    with pytest.raises(RequestError, match="more than 0 frames a second"):
        next(several("quiet").stream(0))


def test_words_are_the_toy_worlds() -> None:
    thing = several("quiet").needles[0].thing
    assert thing.colour in COLOURS
    assert thing.shape in SHAPES
