"""The toy world: seeded scenes of coloured shapes, their pictures, and questions about them.

An endless, exactly known source of video for training and evaluation:

    scene = make_scene("train", index=7)
    clip = render_frames(scene)
    questions = make_questions(scene, "train", count=10, seed=0)

Scenes and words:      make_scene, Scene, SceneObject, SPLITS, COLOURS, SHAPES, SIZES, MOTIONS
Pictures:              render_frames, uniform_times
Dense labels:          object_coverage, object_features, object_presence, object_positions,
                       region_labels, FEATURE_WORDS, FEATURE_GROUPS
Questions:             make_questions, Question, FAMILIES, QUESTION_FAMILIES, WORDINGS
Long videos:           make_long_video, LongVideo, Needle, needle_questions, HAYSTACKS
Files:                 write_split, write_clip, SplitSummary
"""

from videollm.toyworld.families import FAMILIES
from videollm.toyworld.long_videos import HAYSTACKS, LongVideo, Needle, make_long_video
from videollm.toyworld.needles import NEEDLE_FAMILIES, needle_questions
from videollm.toyworld.questions import QUESTION_FAMILIES, Question, make_questions
from videollm.toyworld.render import (
    object_coverage,
    object_features,
    object_positions,
    object_presence,
    region_labels,
    render_frames,
    uniform_times,
)
from videollm.toyworld.scene import CLIP_SECONDS, Scene, SceneObject, make_scene
from videollm.toyworld.splits import SPLITS
from videollm.toyworld.vocabulary import (
    COLOURS,
    FEATURE_GROUPS,
    FEATURE_WORDS,
    HELD_OUT_PAIRS,
    MOTIONS,
    SHAPES,
    SIZES,
)
from videollm.toyworld.wordings import WORDINGS
from videollm.toyworld.writer import SplitSummary, write_clip, write_split

__all__ = [
    "CLIP_SECONDS",
    "COLOURS",
    "FAMILIES",
    "FEATURE_GROUPS",
    "FEATURE_WORDS",
    "HAYSTACKS",
    "HELD_OUT_PAIRS",
    "MOTIONS",
    "NEEDLE_FAMILIES",
    "QUESTION_FAMILIES",
    "SHAPES",
    "SIZES",
    "SPLITS",
    "WORDINGS",
    "LongVideo",
    "Needle",
    "Question",
    "Scene",
    "SceneObject",
    "SplitSummary",
    "make_long_video",
    "make_questions",
    "make_scene",
    "needle_questions",
    "object_coverage",
    "object_features",
    "object_positions",
    "object_presence",
    "region_labels",
    "render_frames",
    "uniform_times",
    "write_clip",
    "write_split",
]
