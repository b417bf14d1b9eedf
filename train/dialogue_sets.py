"""The data sets with text that a recipe names, and their mixture."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from videollm.errors import DataError, RecipeError
from videollm.processor import VideoLLMProcessor
from videollm.train.choice import choose
from videollm.train.decoding import DecodeArguments
from videollm.train.dialogue_arguments import DialogueArguments, MemberArguments
from videollm.train.dialogue_files import DialogueFiles
from videollm.train.dialogue_lists import find_lists
from videollm.train.dialogue_records import parse_record
from videollm.train.examples import BadSamples, DialogueSet
from videollm.train.frame_budget import FrameBudget
from videollm.train.lengths import sample_tokens
from videollm.train.mixture import Member, Mixture, counts_of_pass
from videollm.train.pairs import parse_pair
from videollm.train.rows import Rows
from videollm.train.stage import Run
from videollm.train.toyworld_dialogues import ToyWorldDialogues
from videollm.worlds import find_world

__all__ = ["build_dialogues", "build_members", "build_mixture", "check_kind"]


def check_kind(data: DialogueArguments, stage: str) -> None:
    """Refuse data that a stage does not learn from: dpo takes pairs of answers, others none.

    Raises:
        RecipeError: A data set is of the other kind.
    """
    kinds = {member.dataset for member in data.members.values()}
    if stage == "dpo" and kinds != {"pairs"}:
        raise RecipeError(
            f"dataset: {', '.join(sorted(kinds - {'pairs'}))}: dpo learns from pairs of answers: "
            "use dataset: pairs with data_path"
        )
    if stage != "dpo" and "pairs" in kinds:
        raise RecipeError(f"dataset: pairs is for dpo, not for {stage}: use dataset: llava")


def build_dialogues(
    run: Run, data: DialogueArguments, decoding: DecodeArguments, processor: VideoLLMProcessor
) -> tuple[ToyWorldDialogues | Mixture | Rows, ToyWorldDialogues | None]:
    """Return the training dialogues, and those to evaluate on where the recipe asks for some.

    Raises:
        RecipeError: The data set holds no text, or two orders are asked for.
        DataError: The data cannot be used.
    """
    check_kind(data, run.stage)
    validation = None
    if data.validation_clips:
        validation = _toy_dialogues("val", data.validation_clips, data, processor)
    is_grouped = run.args.train_sampling_strategy == "group_by_length"
    if data.row_tokens and is_grouped:
        raise RecipeError(
            "row_tokens and train_sampling_strategy: group_by_length: filled rows are of about one "
            "length already: leave one of them out"
        )
    by_length = data.row_tokens or is_grouped
    if data.dataset == "toyworld" and not data.mixture and not by_length:
        return _toy_dialogues("train", data.num_clips, data, processor), validation
    assert run.args.data_seed is not None
    bad = BadSamples(run.args.folder, num_samples=0, max_share=data.max_bad)
    members = build_members(
        data,
        processor,
        bad=bad,
        seed=run.args.data_seed,
        decode_seconds=decoding.decode_seconds,
    )
    bad.check()
    mixture = build_mixture(members, data, seed=run.args.data_seed)
    if data.row_tokens:
        rows = Rows(mixture, max_tokens=data.row_tokens, seed=run.args.data_seed)
        return rows, validation
    return mixture, validation


def build_members(
    data: DialogueArguments,
    processor: VideoLLMProcessor,
    *,
    bad: BadSamples,
    seed: int,
    decode_seconds: float | None = None,
) -> list[Member]:
    """Return the data sets of a recipe, each by itself.

    Args:
        data: Which, and what holds for all of them.
        processor: Renders samples and counts their tokens.
        bad: Counts bad samples.
        seed: Of samples chosen at random.
        decode_seconds: As `videollm.train.decoding.open_video` takes it.

    Raises:
        RecipeError: The data set holds no text.
        DataError: Files cannot be used.
    """
    if data.dataset == "videos" and not data.mixture:
        raise RecipeError("dataset: videos have no text; use toyworld or llava")
    members = []
    for name, member in data.members.items():
        dataset: DialogueSet
        if member.dataset == "toyworld":
            num_clips = member.num_clips or data.num_clips
            chosen = choose(member.sampling, num_clips, seed)
            dataset = _toy_dialogues("train", num_clips, data, processor, member, chosen)
        else:
            dataset = _files(
                member, data, processor, bad=bad, seed=seed, decode_seconds=decode_seconds
            )
        members.append(
            Member(
                name=name,
                dataset=dataset,
                size=len(dataset),
                weight=member.weight,
                repeat=member.repeat,
                tokens=partial(_tokens_of, dataset, processor),
            )
        )
    return members


def build_mixture(members: Sequence[Member], data: DialogueArguments, *, seed: int) -> Mixture:
    """Return the data sets as the one that the recipe's law makes of them.

    Raises:
        RecipeError: One of them would have no sample in a pass.
        DataError: One of them has no usable sample.
    """
    for member in members:
        if not member.size:
            raise DataError(f"{member.name}: no usable sample; see the report on bad samples")
    counts = counts_of_pass(members, law=data.mixing, temperature=data.temperature)
    return Mixture(members, counts, seed=seed)


def _tokens_of(dataset: DialogueSet, processor: VideoLLMProcessor, index: int) -> int:
    return sample_tokens(processor, dataset.outline(index))


def _files(
    member: MemberArguments,
    data: DialogueArguments,
    processor: VideoLLMProcessor,
    *,
    bad: BadSamples,
    seed: int,
    decode_seconds: float | None,
) -> DialogueFiles:
    folder = member.media_folder or data.media_folder
    return DialogueFiles(
        find_lists(member.data_path),
        parse=parse_pair if member.dataset == "pairs" else parse_record,
        media_folder=Path(folder) if folder else None,
        processor=processor,
        frames=FrameBudget(
            num_frames=data.num_frames,
            fps=data.fps,
            max_frames=data.max_frames,
            max_visual_tokens=data.max_visual_tokens,
            tubelet_size=processor.tubelet_size,
            tokens_per_frame=processor.tokens_per_frame,
        ),
        max_length=data.max_length,
        bad=bad,
        sampling=member.sampling,
        seed=seed,
        decode_seconds=decode_seconds,
        shared_questions=data.shared_questions,
    )


def _toy_dialogues(
    split: str,
    num_clips: int,
    data: DialogueArguments,
    processor: VideoLLMProcessor,
    member: MemberArguments | None = None,
    chosen: Sequence[int] | None = None,
) -> ToyWorldDialogues:
    """Return scenes of a split, as the recipe says where a member of a mixture says nothing."""
    own = member or MemberArguments()
    world = find_world(own.world or data.world)
    return ToyWorldDialogues(
        own.split if split == "train" and own.split else split,
        num_clips=num_clips,
        seed=data.world_seed if own.world_seed is None else own.world_seed,
        image_size=processor.image_size,
        num_frames=data.num_frames,
        questions=own.questions_per_clip or data.questions_per_clip,
        families=data.families if own.families is None else own.families,
        choice_fraction=(
            data.choice_fraction if own.choice_fraction is None else own.choice_fraction
        ),
        talk_fraction=data.talk_fraction if own.talk_fraction is None else own.talk_fraction,
        world=world,
        frame_rates=data.frame_rates if own.frame_rates is None else own.frame_rates,
        frame_multiple=processor.tubelet_size,
        time_stride=processor.time_stride or 1,
        artefacts=data.artefacts,
        chosen=chosen,
    )
