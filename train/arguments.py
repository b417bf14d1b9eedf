"""What can be set about models, data and objectives: one flat dataclass a subject.

A recipe (YAML) and the command line fill these; `videollm.train.recipe` merges them. The fields
are flat because `HfArgumentParser` knows no nesting. Nothing here loads a model or data.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from videollm.train.fields import Share, described, mapping, require

__all__ = [
    "AlignArguments",
    "DataArguments",
    "EncoderArguments",
    "ModelArguments",
    "PretrainArguments",
]


@dataclass(kw_only=True)
class EncoderArguments:
    """Which encoder a run starts from."""

    encoder: str = field(
        default="demo",
        metadata=described("preset (demo, tiny, small, middle, base, large) or a trained folder"),
    )
    encoder_overrides: dict[str, Any] | str | None = field(
        default=None,
        metadata=described(
            'fields that replace those of the preset, as {"hidden_size": 64}; of a trained '
            "encoder only drop_path_rate"
        ),
    )

    def __post_init__(self) -> None:
        self.encoder_overrides = mapping("encoder_overrides", self.encoder_overrides)


@dataclass(kw_only=True)
class ModelArguments(EncoderArguments):
    """Which VideoLLM a run starts from: an earlier stage, or an encoder and a language model."""

    model: str | None = field(
        default=None,
        metadata=described("folder of an earlier stage; its encoder, projector and LLM go on"),
    )
    language_model: str | None = field(
        default=None,
        metadata=described("LLM by name or folder (default: the packaged one, or that of `model`)"),
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = field(
        default="auto",
        metadata=described(
            "type of the LLM's weights; auto: bfloat16 where it is fast, float32 with tuning: full"
        ),
    )
    attn_implementation: str | None = field(
        default=None,
        metadata=described(
            "how the LLM attends: sdpa, eager, flash_attention_2 (default: the library's choice)"
        ),
    )
    projector_type: str = field(
        default="pool_mlp",
        metadata=described("pool_mlp, tome_mlp, resampler or linear, when fresh"),
    )
    tokens_per_frame: int = field(
        default=16, metadata=described("visual tokens of each frame (each tubelet), when fresh")
    )


@dataclass(kw_only=True)
class DataArguments:
    """What a run learns from."""

    dataset: Literal["toyworld", "llava", "pairs", "videos"] = field(
        default="toyworld",
        metadata=described(
            "toyworld: drawn in memory; llava: dialogues in JSON files; pairs: wanted and unwanted "
            "answers in JSON files; videos: files, no text"
        ),
    )
    world: Literal["toy", "shapes"] = field(
        default="toy",
        metadata=described(
            "toyworld: toy (the released demo's) or shapes (the complete one, see docs)"
        ),
    )
    num_frames: int = field(default=16, metadata=described("frames of a clip"))
    frame_rates: list[float] = field(
        default_factory=list,
        metadata=described(
            "shapes: frames a second, one drawn for each clip (text) or batch (scenes)"
        ),
    )
    num_clips: int = field(default=10_000, metadata=described("toyworld: clips in one epoch"))
    questions_per_clip: int = field(
        default=10, metadata=described("toyworld: questions that share one clip, 1 or more")
    )
    families: list[str] = field(
        default_factory=list,
        metadata=described("toyworld: question families to ask (default: all but captions)"),
    )
    choice_fraction: float = field(
        default=0.0, metadata=described("toyworld: share of multiple-choice questions, 0 to 1")
    )
    artefacts: float = field(
        default=0.0,
        metadata=described("toyworld: share of clips with artefacts of compression, 0 to 1"),
    )
    talk_fraction: float = field(
        default=0.0,
        metadata=described("toyworld: share of questions asked in one talk with the one before"),
    )
    world_seed: int = field(default=0, metadata=described("toyworld: seed of scenes and questions"))
    validation_clips: int = field(
        default=0,
        metadata=described("toyworld: clips of the split `val` to evaluate on, 0 for none"),
    )
    data_path: list[str] = field(
        default_factory=list,
        metadata=described(
            "llava, pairs: JSON, JSONL or Parquet files, or folders of them; videos: files, "
            "folders or lists (.txt)"
        ),
    )
    media_folder: str | None = field(
        default=None,
        metadata=described("where relative media paths start (default: beside their list)"),
    )
    max_bad: Share = field(
        default=Share(0.05),
        metadata=described("share of bad samples, as 0.01 or 1%%, beyond which a run fails"),
    )
    max_length: int = field(
        default=2048, metadata=described("tokens of a row; dialogues that do not fit are left out")
    )

    def __post_init__(self) -> None:
        for name in ("num_frames", "num_clips", "questions_per_clip", "max_length"):
            require(
                getattr(self, name) >= 1, f"{name}: {getattr(self, name)} given, 1 or more allowed"
            )
        require(
            not self.frame_rates or self.world == "shapes",
            "frame_rates: only world: shapes has them; leave it out",
        )
        require(
            all(1 <= rate <= 30 for rate in self.frame_rates),
            f"frame_rates: {self.frame_rates} given, 1 to 30 frames a second allowed",
        )
        for name in ("max_bad", "choice_fraction", "talk_fraction", "artefacts"):
            require(
                0 <= getattr(self, name) <= 1,
                f"{name}: {getattr(self, name)} given, 0 to 1 allowed",
            )
        require(
            self.dataset == "toyworld" or bool(self.data_path),
            f"dataset {self.dataset} needs data_path: give at least one file",
        )


@dataclass(kw_only=True)
class PretrainArguments:
    """What the encoder predicts while it is pretrained."""

    teacher: Literal["scene", "pixels", "clip"] = field(
        default="pixels",
        metadata=described(
            "pixels: the frames alone; clip: a CLIP or SigLIP model's features of each patch; "
            "scene: what the toy world drew in each cell"
        ),
    )
    teacher_model: str | None = field(
        default=None, metadata=described("clip: folder or hub name of the model that is asked")
    )
    teacher_cache: str | None = field(
        default=None,
        metadata=described("clip: folder that `videollm features` wrote, asked instead"),
    )
    max_objects: int = field(
        default=0,
        metadata=described("toyworld: objects drawn, of the first shot; 0 for all; classify's: 1"),
    )
    masking: Literal["random", "attention"] = field(
        default="random",
        metadata=described("which tokens are visible; attention: likelier where the teacher looks"),
    )
    keep_ratios: list[float] = field(
        default_factory=lambda: [0.2],
        metadata=described("shares of visible tokens; each batch draws one"),
    )
    subclip_frames: int = field(
        default=0,
        metadata=described("frames of a short window of a clip, 0 to always see it whole"),
    )
    subclip_share: float = field(
        default=0.5, metadata=described("share of batches that see a short window only")
    )
    prediction_weight: float = field(default=1.0, metadata=described("weight of predicting tokens"))
    alignment_weight: float = field(
        default=1.0, metadata=described("weight of aligning visible tokens with the teacher")
    )
    target_norm: Literal["none", "instance"] = field(
        default="none",
        metadata=described(
            "instance: features with zero mean and unit variance over a clip's patches, channel by "
            "channel; for a teacher whose features hardly differ"
        ),
    )
    alignment_layers: list[int] = field(
        default_factory=lambda: [-1], metadata=described("layers to align, -1 being the output")
    )
    decoder_layers: int = field(default=4, metadata=described("blocks of the decoder"))
    decoder_hidden_size: int = field(default=192, metadata=described("width of the decoder"))
    decoder_attention_heads: int = field(default=6, metadata=described("heads of the decoder"))
    decoder_context: Literal["past", "previous", "past_and_present"] = field(
        default="past", metadata=described("frames whose visible tokens a prediction may use")
    )
    decoding: Literal["frame", "token"] = field(
        default="frame",
        metadata=described("frame: all tokens of a frame at once; token: in raster order"),
    )
    picture_steps: int = field(
        default=0, metadata=described("steps between two pictures of what it predicts, 0 for none")
    )

    def __post_init__(self) -> None:
        require(
            bool(self.keep_ratios) and all(0 < keep <= 1 for keep in self.keep_ratios),
            f"keep_ratios: {self.keep_ratios} given, shares above 0 and up to 1 allowed",
        )
        require(
            0 <= self.subclip_share <= 1,
            f"subclip_share: {self.subclip_share} given, 0 to 1 allowed",
        )
        for name in ("picture_steps", "max_objects"):
            value = getattr(self, name)
            require(value >= 0, f"{name}: {value} given, 0 or more allowed")
        named = [name for name in ("teacher_model", "teacher_cache") if getattr(self, name)]
        if self.teacher == "clip":
            require(
                len(named) == 1,
                f"teacher: clip needs one of teacher_model and teacher_cache; {len(named)} given",
            )
        else:
            require(not named, f"{' and '.join(named)}: only teacher: clip has one")
            require(
                self.masking == "random",
                f"masking: attention needs a teacher that looks; {self.teacher} does not: "
                "use teacher: clip, or masking: random",
            )


@dataclass(kw_only=True)
class AlignArguments:
    """How the projector learns the language model's vocabulary."""

    objective: Literal["words", "caption"] = field(
        default="words",
        metadata=described("words: match embeddings of what is seen (toyworld); caption: LM loss"),
    )
    norm_weight: float = field(
        default=1.0, metadata=described("words: weight of the squared error beside the cosine")
    )
    place_weight: float = field(
        default=0.5, metadata=described("words: weight of words for a token's place in the frame")
    )


@dataclass(kw_only=True)
class HeldOutArguments:
    """What a model is asked while it learns."""

    answer_steps: int = field(
        default=0,
        metadata=described("ask held-out questions every so many steps, 0 to not"),
    )
    answer_questions: int = field(
        default=8, metadata=described("how many: of the first samples of the validation")
    )

    def __post_init__(self) -> None:
        for name, least in (("answer_steps", 0), ("answer_questions", 1)):
            value = getattr(self, name)
            require(value >= least, f"{name}: {value} given, {least} or more allowed")
