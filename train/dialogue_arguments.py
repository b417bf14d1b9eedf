"""What can be set about data with text: mixtures, and how many frames a video gets."""

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from videollm.errors import RecipeError
from videollm.train.arguments import DataArguments
from videollm.train.choice import choose
from videollm.train.fields import described, mapping, require
from videollm.worlds import WORLDS

__all__ = ["DialogueArguments", "MemberArguments"]

_ALIASES = {"json_path": "data_path", "sampling_strategy": "sampling"}
"""What LLaVA-NeXT's mixture files call our keys."""

_OF_SCENES = {
    "num_clips",
    "questions_per_clip",
    "families",
    "choice_fraction",
    "talk_fraction",
    "world_seed",
    "world",
    "split",
    "frame_rates",
}
_FOREIGN = {
    "llava": _OF_SCENES,
    "pairs": _OF_SCENES,
    "toyworld": {"data_path", "media_folder"},
}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _are_rates(value: object) -> bool:
    return isinstance(value, list) and all(
        _is_number(item) and 0.25 <= item <= 30 for item in value
    )


_SPLITS = ("train", "train_long", "train_stream")
_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "data_path": (_are_texts, "a path or a list of paths"),
    "media_folder": (lambda value: isinstance(value, str), "a path"),
    "sampling": (lambda value: isinstance(value, str), "a text"),
    "weight": (lambda value: _is_number(value) and value > 0, "a number above 0"),
    "repeat": (_is_whole, "1 or more"),
    "num_clips": (_is_whole, "1 or more"),
    "questions_per_clip": (_is_whole, "1 or more"),
    "families": (_are_texts, "a list of names"),
    "choice_fraction": (lambda value: _is_number(value) and 0 <= value <= 1, "0 to 1"),
    "talk_fraction": (lambda value: _is_number(value) and 0 <= value <= 1, "0 to 1"),
    "world_seed": (lambda value: _is_whole(value, 0), "0 or more"),
    "world": (lambda value: value in WORLDS, " or ".join(WORLDS)),
    "split": (lambda value: value in _SPLITS, " or ".join(_SPLITS)),
    "frame_rates": (_are_rates, "a list of frames a second, 0.25 to 30"),
}


@dataclass(kw_only=True)
class MemberArguments:
    """One data set of a mixture.

    Args:
        dataset: "llava" or "pairs" (files), or "toyworld"; llava or toyworld, as the other keys
            say, where it is left out.
        data_path: Files, folders or patterns.
        media_folder: Where their media paths start; None: that of the recipe.
        sampling: Which samples take part, see `choose`.
        weight: Share of a pass relative to the others', where `mixing` is weights.
        repeat: How often a pass holds each sample, where it is size.
        num_clips: Of the toy world, like the further ones; None: that of the recipe.
        questions_per_clip: Likewise.
        families: Likewise.
        choice_fraction: Likewise.
        talk_fraction: Likewise.
        world_seed: Likewise.
        world: Likewise; "foreign" for clips of neither world.
        split: Of the world; for long videos of shapes "train_long" or "train_stream", the latter
            seen as a stream's memory shows them; None: "train".
        frame_rates: Likewise.
    """

    dataset: str = ""
    data_path: list[str] = field(default_factory=list)
    media_folder: str | None = None
    sampling: str = "all"
    weight: float = 1.0
    repeat: int = 1
    num_clips: int | None = None
    questions_per_clip: int | None = None
    families: list[str] | None = None
    choice_fraction: float | None = None
    talk_fraction: float | None = None
    world_seed: int | None = None
    world: str | None = None
    split: str | None = None
    frame_rates: list[float] | None = None

    @classmethod
    def parse(cls, name: str, given: object) -> "MemberArguments":
        """Return the checked arguments of a member.

        Raises:
            RecipeError: It is no mapping, or a key or value is not allowed.
        """
        source = f"mixture: {name}"
        if not isinstance(given, Mapping):
            raise RecipeError(f"{source}: {given!r} given; write keys such as data_path: FILE")
        values: dict[str, Any] = {
            _ALIASES.get(str(key), str(key)): value
            for key, value in given.items()
            if value is not None
        }
        known = {item.name: item for item in dataclasses.fields(cls)}
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.0)[0]
                raise RecipeError(
                    f"{source}: unknown key {key!r}; the nearest known one is {near!r}"
                )
        for key in ("data_path", "families"):
            if isinstance(values.get(key), str):
                values[key] = [values[key]]
        values.setdefault("dataset", "llava" if values.get("data_path") else "toyworld")
        member = cls(**values)
        member._check(source, set(values))
        return member

    def _check(self, source: str, given: set[str]) -> None:
        require(
            self.dataset in _FOREIGN,
            f"{source}: dataset: {self.dataset!r} given, {', '.join(_FOREIGN)} allowed",
        )
        foreign = _FOREIGN[self.dataset] & given
        require(
            not foreign,
            f"{source}: {', '.join(sorted(foreign))}: not a key of {self.dataset}; leave it out",
        )
        require(
            self.dataset == "toyworld" or bool(self.data_path),
            f"{source}: {self.dataset} needs data_path: give at least one file",
        )
        for name, (is_allowed, allowed) in _VALUES.items():
            value = getattr(self, name)
            require(
                value is None or is_allowed(value),
                f"{source}: {name}: {value!r} given, {allowed} allowed",
            )
        try:
            choose(self.sampling, 1, 0)
        except RecipeError as error:
            raise RecipeError(f"{source}: {error}") from error


@dataclass(kw_only=True)
class DialogueArguments(DataArguments):
    """What a run learns to say, and about how many frames."""

    mixture: dict[str, Any] | str | None = field(
        default=None,
        metadata=described(
            "data sets in the place of dataset and data_path: {name: {data_path, media_folder, "
            "sampling, weight, repeat}}, or a YAML file of them"
        ),
    )
    mixing: Literal["size", "weights", "temperature"] = field(
        default="size", metadata=described("mixture: in proportion to what a pass holds of each")
    )
    temperature: float = field(
        default=2.0, metadata=described("mixing temperature: shares are size ** (1 / temperature)")
    )
    fps: float | None = field(
        default=None, metadata=described("frames a second of files, in the place of num_frames")
    )
    max_frames: int = field(default=64, metadata=described("the most frames of a video with fps"))
    max_visual_tokens: int = field(
        default=0,
        metadata=described("the most visual tokens of a sample; videos get fewer frames; 0: any"),
    )
    packing: bool = field(
        default=True,
        metadata=described(
            "samples side by side in a row without padding; false: a padded row for each dialogue, "
            "for language models that cannot tell the samples of a row apart"
        ),
    )
    row_tokens: int = field(
        default=0,
        metadata=described(
            "fill rows with samples up to so many tokens; batch sizes then count rows; 0: a batch "
            "is a row of as many samples as its size"
        ),
    )
    shared_questions: int = field(
        default=1,
        metadata=described(
            "llava: most records about the same media that become one sample and share its "
            "encoded frames, as many as fit into max_length; 1: each is a sample"
        ),
    )

    def __post_init__(self) -> None:
        self.mixture = _read_mixture(self.mixture)
        require(
            not self.mixture or (self.dataset == "toyworld" and not self.data_path),
            "mixture and dataset or data_path are both given: leave these out, the mixture names "
            "its files",
        )
        super().__post_init__()
        require(self.temperature > 0, f"temperature: {self.temperature} given, above 0 allowed")
        require(self.fps is None or self.fps > 0, f"fps: {self.fps} given, above 0 allowed")
        require(self.max_frames >= 1, f"max_frames: {self.max_frames} given, 1 or more allowed")
        require(
            self.max_visual_tokens >= 0,
            f"max_visual_tokens: {self.max_visual_tokens} given, 0 or more allowed",
        )
        require(
            self.shared_questions >= 1,
            f"shared_questions: {self.shared_questions} given, 1 or more allowed",
        )
        require(
            self.packing or not self.row_tokens,
            "row_tokens: rows are filled by packing: leave row_tokens out, or packing: false",
        )
        require(
            self.row_tokens == 0 or self.row_tokens >= self.max_length,
            f"row_tokens: {self.row_tokens} given; a sample may have max_length = "
            f"{self.max_length} tokens: give that many or more, or lower max_length",
        )

    @property
    def members(self) -> dict[str, MemberArguments]:
        """The data sets of the mixture by name; the one of the recipe where there is none."""
        assert isinstance(self.mixture, dict)
        if self.mixture:
            return {name: MemberArguments.parse(name, item) for name, item in self.mixture.items()}
        if self.dataset == "toyworld":
            return {"toyworld": MemberArguments(dataset="toyworld")}
        name = "pairs" if self.dataset == "pairs" else "llava"
        return {name: MemberArguments(dataset=name, data_path=self.data_path)}


def _read_mixture(given: dict[str, Any] | str | None) -> dict[str, Any]:
    """Return a mixture by names; a file may hold LLaVA-NeXT's list under `datasets`."""
    if isinstance(given, str) and Path(given).suffix.lower() in (".yaml", ".yml"):
        try:
            given = yaml.safe_load(Path(given).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise RecipeError(
                f"mixture: {' '.join(str(error).split())}; give a YAML file"
            ) from None
    mixture = mapping("mixture", given)
    listed = mixture.get("datasets")
    if isinstance(listed, list):
        mixture = {f"{number}": item for number, item in enumerate(listed, start=1)}
    for name, item in mixture.items():
        MemberArguments.parse(name, item)
    return mixture
