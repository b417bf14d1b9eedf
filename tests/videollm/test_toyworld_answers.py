"""A second opinion: answers found again from the words of a question, by other means.

Referents are read from the question's text, motions from positions, times and order from what is
visible, colours from rendered pixels.
"""

import re
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest

from videollm.toyworld import (
    CLIP_SECONDS,
    COLOURS,
    QUESTION_FAMILIES,
    SHAPES,
    Question,
    Scene,
    SceneObject,
    make_questions,
    make_scene,
    object_coverage,
    render_frames,
)

MOVES = {
    "stays still": "still",
    "moves left": "left",
    "moves right": "right",
    "moves up": "up",
    "moves down": "down",
    "bounces": "bounces",
    "moves in a loop": "loops",
}
TIMES = np.arange(0.0, CLIP_SECONDS, 0.05)
PHRASE = re.compile(
    r"\b(?:the|an?|many|all|of) "
    rf"(?:different )?(?:(?P<size>small|large) )?(?:(?P<colour>{'|'.join(COLOURS)}) )?"
    rf"(?:shapes?|objects?|(?P<shape>{'|'.join(SHAPES)})(?:e?s)?)\b"
    rf"(?: that (?P<motion>{'|'.join(MOVES)}))?",
    re.IGNORECASE,
)


def _seen_motion(thing: SceneObject) -> str:
    """Classify a motion by where the object goes."""
    track = thing.positions(TIMES[thing.present(TIMES)])
    moved, spread = track[-1] - track[0], np.ptp(track, axis=0)
    if spread.max() < 0.01:
        return "still"
    if spread.min() > 0.2:
        return "loops"
    axis = int(spread[1] > spread[0])
    steps = np.sign(np.diff(track[:, axis]))
    if (steps != steps[0]).any():
        return "bounces"
    return (("left", "right"), ("up", "down"))[axis][int(moved[axis] > 0)]


def _described(scene: Scene, text: str) -> list[SceneObject]:
    """Return the objects that fit the most specific phrase of a question."""
    found = [match.groupdict() for match in PHRASE.finditer(text)]
    wanted = max(found, key=lambda words: sum(word is not None for word in words.values()))
    wanted = {name: word.lower() for name, word in wanted.items() if word}
    if "motion" in wanted:
        wanted["motion"] = MOVES[wanted["motion"]]
    return [
        thing
        for thing in scene.objects
        if all(
            (_seen_motion(thing) if name == "motion" else getattr(thing, name)) == word
            for name, word in wanted.items()
        )
    ]


def _only(scene: Scene, text: str) -> SceneObject:
    (thing,) = _described(scene, text)
    return thing


def _shown_colour(scene: Scene, thing: SceneObject) -> str:
    """Return the colour word nearest to the object's pixels."""
    times = np.arange(0.25, CLIP_SECONDS, 0.75)
    cells = object_coverage(scene, times, 64)[:, scene.objects.index(thing)]
    pixels = render_frames(scene, times=times).frames.permute(0, 2, 3, 1).numpy()[cells > 0.99]
    mean = pixels.mean(axis=0)
    return min(COLOURS, key=lambda colour: np.abs(mean - COLOURS[colour]).sum())


def _half(scene: Scene, text: str) -> str:
    moment = 0.1 if "start" in text.lower() else CLIP_SECONDS - 0.1
    x, y = _only(scene, text).positions(np.array([moment]))[0]
    if "left" in text.lower():
        return "right" if x > 0.5 else "left"
    return "bottom" if y > 0.5 else "top"


def _seen_times(thing: SceneObject) -> np.ndarray:
    return TIMES[thing.present(TIMES)]


def _event(scene: Scene, text: str) -> str:
    if "disappears first" in text:
        moments = [_seen_times(thing)[-1] for thing in scene.objects]
    else:
        moments = [_seen_times(thing)[0] for thing in scene.objects]
    order = np.argsort(moments)[:: -1 if "last" in text else 1]
    assert abs(moments[order[0]] - moments[order[1]]) > 0.3
    first = scene.objects[order[0]]
    return f"{first.colour} {first.shape}"


def _moment(scene: Scene, text: str) -> str:
    seen = _seen_times(_only(scene, text))
    seconds = seen[-1] + 0.05 if "disappear" in text else seen[0]
    assert 0.4 < seconds < CLIP_SECONDS - 0.4
    return f"at {round(seconds * 2) / 2:.1f} s"


ORACLES: dict[str, Callable[[Scene, str], str]] = {
    "existence": lambda scene, text: "yes" if _described(scene, text) else "no",
    "count": lambda scene, text: str(len(_described(scene, text))),
    "colour": lambda scene, text: _shown_colour(scene, _only(scene, text)),
    "shape": lambda scene, text: _only(scene, text).shape,
    "size": lambda scene, text: "large" if _only(scene, text).radius > 0.11 else "small",
    "position": _half,
    "motion": lambda scene, text: _seen_motion(_only(scene, text)),
    "order": _event,
    "time": _moment,
}


@lru_cache
def _scenes(split: str) -> list[Scene]:
    return [make_scene(split, index) for index in range(50)]


@pytest.mark.parametrize("family", QUESTION_FAMILIES)
@pytest.mark.parametrize("split", ["train", "test_compositional", "test_paraphrase"])
def test_answers_are_found_again(split: str, family: str) -> None:
    asked = 0
    for scene in _scenes(split):
        for question in make_questions(scene, split, count=3, seed=1, families=[family]):
            assert ORACLES[family](scene, question.question) == question.answer, question
            asked += 1
    assert asked >= 5


def test_captions_name_every_object_and_event() -> None:
    for scene in _scenes("train"):
        (question,) = make_questions(scene, "train", count=1, seed=0, families=["caption"])
        sentences = _sentences(question)
        assert len(sentences) == len(scene.objects)
        for sentence in sentences:
            thing = _only(scene, sentence)
            assert MOVES[re.search("|".join(MOVES), sentence)[0]] == thing.motion
            assert (" appears at " in sentence) == (thing.begin_seconds > 0)
            assert (" disappears at " in sentence) == (thing.end_seconds < CLIP_SECONDS)


def _sentences(question: Question) -> list[str]:
    return re.split(r"(?<=\.) (?=An? )", question.answer)
