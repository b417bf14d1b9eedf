"""The shape world: the complete toy world, of clips with cuts, events and changing backgrounds.

It will take the place of `videollm.toyworld` when a checkpoint trained on it is released; until
then both are offered, see `videollm.worlds`.

    scene = make_scene("train", index=7)
    clip = render_frames(scene)
    questions = make_questions(scene, "train", count=10, seed=0)

Scenes and words:      make_scene, first_shot, Scene, SceneObject, SPLITS, COLOURS, SHAPES, ...
Pictures:              render_frames, stream_frames, uniform_times, shown_moments
Dense labels:          object_coverage, object_presence, object_positions, known_words
Questions:             make_questions, Question, FAMILIES, QUESTION_FAMILIES, ACCOUNT_FAMILIES,
                       WORDINGS
Answers:               answer_question (an oracle that reads), caption_recall
Files:                 write_split, write_review
"""

from videollm.shapeworld.captions import caption_recall
from videollm.shapeworld.families import ACCOUNT_FAMILIES, FAMILIES, QUESTION_FAMILIES
from videollm.shapeworld.labels import known_words
from videollm.shapeworld.long_videos import LONG_MINUTES
from videollm.shapeworld.making import make_scene
from videollm.shapeworld.oracle import answer_question
from videollm.shapeworld.questions import Question, make_questions
from videollm.shapeworld.render import (
    object_coverage,
    object_positions,
    object_presence,
    render_frames,
    stream_frames,
    uniform_times,
)
from videollm.shapeworld.review import write_review
from videollm.shapeworld.scene import Scene, SceneObject, first_shot
from videollm.shapeworld.shown_moments import shown_moments
from videollm.shapeworld.splits import SPLITS
from videollm.shapeworld.vocabulary import (
    COLOURS,
    DIRECTIONS,
    FEATURE_GROUPS,
    FEATURE_WORDS,
    FILLS,
    HELD_OUT_PAIRS,
    SHAPES,
    SIZES,
)
from videollm.shapeworld.wordings import WORDINGS
from videollm.shapeworld.writer import write_split

__all__ = [
    "ACCOUNT_FAMILIES",
    "COLOURS",
    "DIRECTIONS",
    "FAMILIES",
    "FEATURE_GROUPS",
    "FEATURE_WORDS",
    "FILLS",
    "HELD_OUT_PAIRS",
    "LONG_MINUTES",
    "QUESTION_FAMILIES",
    "SHAPES",
    "SIZES",
    "SPLITS",
    "WORDINGS",
    "Question",
    "Scene",
    "SceneObject",
    "answer_question",
    "caption_recall",
    "first_shot",
    "known_words",
    "make_questions",
    "make_scene",
    "object_coverage",
    "object_positions",
    "object_presence",
    "render_frames",
    "shown_moments",
    "stream_frames",
    "uniform_times",
    "write_review",
    "write_split",
]
