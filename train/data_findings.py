"""What there is to find in the data of a recipe: counts, lengths, bad samples, and a few rendered.

Everything but `check` is a step of it. Nothing is written here but the report on bad samples.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.progress import Progress

from videollm.errors import RequestError, VideoError
from videollm.processor import VideoLLMProcessor
from videollm.train.collate import tokenize
from videollm.train.data_report import DataReport, MemberReport, Sample
from videollm.train.dialogue_arguments import DialogueArguments
from videollm.train.dialogue_files import DialogueFiles
from videollm.train.dialogue_records import Record
from videollm.train.dialogue_sets import build_members
from videollm.train.examples import BadSamples, Example
from videollm.train.lengths import sample_tokens
from videollm.train.mixture import Member, counts_of_pass

__all__ = ["check_data"]

_NUM_SAMPLES = 5
_NUM_SCENES = 32

Item = TypeVar("Item")
Found = tuple[int, int, DialogueFiles, Record]
"""Number of a data set, place in it, the data set and the record there."""


@dataclass(kw_only=True)
class _Findings:
    """What was found, to be completed step by step.

    Args:
        members: The data sets.
        bad: What cannot be used.
        lengths: Tokens of each sample that was counted, by data set and place.
    """

    members: list[Member]
    bad: BadSamples
    lengths: dict[tuple[int, int], int] = field(default_factory=dict)

    def records(self) -> Iterator[Found]:
        """Yield data set, place and record of all that come from files and are not bad."""
        for number, member in enumerate(self.members):
            if isinstance(member.dataset, DialogueFiles):
                for place, record in enumerate(member.dataset.records):
                    if record.name not in self.bad.reasons:
                        yield number, place, member.dataset, record


def check_data(
    data: DialogueArguments,
    processor: VideoLLMProcessor,
    *,
    output: Path,
    seed: int,
    num_probed: int = 50,
    decode: bool = False,
) -> DataReport:
    """Return what is found in the data of a recipe.

    Args:
        data: The data.
        processor: That of the model that will learn from it.
        output: Folder for `bad_samples.jsonl`.
        seed: Of what is chosen at random.
        num_probed: Samples whose media are read, drawn at random.
        decode: Read those of all samples instead.

    Raises:
        RecipeError: The recipe cannot be used.
        DataError: A file cannot be used.
    """
    bad = BadSamples(output, num_samples=0, max_share=data.max_bad)
    members = build_members(data, processor, bad=bad, seed=seed)
    found = _Findings(members=members, bad=bad)
    rng = np.random.default_rng(seed)
    if not decode:
        _estimate(found, exact=data.fps is None)
    records = list(found.records())
    chosen = range(len(records)) if decode else rng.permutation(len(records))[:num_probed]
    _read(found, [records[item] for item in sorted(chosen)])
    for number, member in enumerate(members):
        if not isinstance(member.dataset, DialogueFiles):
            for place in _some_places(member):
                outline = member.dataset.outline(place)
                found.lengths[number, place] = sample_tokens(processor, outline)
    counts = [0] * len(members)
    if all(member.size for member in members):
        counts = counts_of_pass(members, law=data.mixing, temperature=data.temperature)
    samples = [_render(name, example, processor) for name, example in _draw(found, rng)]
    return DataReport(
        members=[_describe(found, number, count) for number, count in enumerate(counts)],
        bad=dict(bad.reasons),
        num_samples=bad.num_samples,
        max_bad=data.max_bad,
        lengths=list(found.lengths.values()),
        max_length=data.max_length,
        is_exact=decode,
        samples=samples,
    )


def _each(items: Sequence[Item], what: str) -> Iterator[Item]:
    """Yield items under a progress bar, where someone looks."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        yield from bar.track(items, description=what)


def _estimate(found: _Findings, *, exact: bool) -> None:
    for number, place, dataset, record in _each(list(found.records()), "tokens"):
        length = dataset.estimate_tokens(record)
        if exact and length > dataset.max_length:
            found.bad.add(record.name, f"about {dataset.describe_length(length)}")
        else:
            found.lengths[number, place] = length


def _read(found: _Findings, chosen: Sequence[Found]) -> None:
    """Read the media of records and count their tokens."""
    for number, place, dataset, record in _each(chosen, "media"):
        try:
            found.lengths[number, place] = dataset.count_tokens(record, dataset.load(record))
        except (VideoError, RequestError) as error:
            found.bad.add(record.name, str(error))
            found.lengths.pop((number, place), None)


def _some_places(member: Member) -> range:
    return range(0, member.size, -(-member.size // _NUM_SCENES))


def _describe(found: _Findings, number: int, count: int) -> MemberReport:
    member = found.members[number]
    if not isinstance(member.dataset, DialogueFiles):
        kinds = {"scene": member.size}
        return MemberReport(member.name, member.size, member.size, member.size, kinds, (), count)
    usable = [record.kind for own, _, _, record in found.records() if own == number]
    return MemberReport(
        name=member.name,
        num_listed=member.dataset.num_listed,
        num_chosen=member.dataset.num_chosen,
        num_usable=len(usable),
        kinds=dict(Counter(usable)),
        missing=tuple(f"{name}: {path}" for name, path in member.dataset.missing.items()),
        num_drawn=count,
    )


def _draw(found: _Findings, rng: np.random.Generator) -> Iterator[tuple[str, Example]]:
    """Yield a few samples with their names, first one of each kind and data set."""
    waiting: dict[tuple[int, str], list[tuple[str, int, int]]] = {}
    for number, place, _, record in found.records():
        waiting.setdefault((number, record.kind), []).append((record.name, number, place))
    for number, member in enumerate(found.members):
        if not isinstance(member.dataset, DialogueFiles):
            scenes = [(f"{member.name}[{place}]", number, place) for place in _some_places(member)]
            waiting[number, "scene"] = scenes
    queues = [[group[item] for item in rng.permutation(len(group))] for group in waiting.values()]
    given = 0
    while given < _NUM_SAMPLES and any(queues):
        for queue in queues:
            if not queue or given == _NUM_SAMPLES:
                continue
            name, number, place = queue.pop()
            dataset = found.members[number].dataset
            if not isinstance(dataset, DialogueFiles):
                yield name, dataset[place]
            else:
                record = dataset.records[place]
                try:
                    clips = dataset.load(record)
                except (VideoError, RequestError) as error:
                    found.bad.add(name, str(error))
                    continue
                roles = [""] if record.rejected is None else [" (chosen)", " (rejected)"]
                for role, dialogue in zip(roles, record.dialogues, strict=True):
                    yield f"{name}{role}", Example(clips, (dialogue,))
            given += 1


def _render(name: str, example: Example, processor: VideoLLMProcessor) -> Sample:
    tokens = tokenize(processor, example.dialogues[0], example.videos)
    pieces: list[tuple[str, bool]] = []
    start = 0
    marks = [
        (label >= 0, item == processor.video_token_id)
        for label, item in zip(tokens.labels, tokens.input_ids, strict=True)
    ]
    for end in range(1, len(marks) + 1):
        if end == len(marks) or marks[end] != marks[start]:
            supervised, visual = marks[start]
            text = processor.tokenizer.decode(tokens.input_ids[start:end])
            pieces.append((f"[{end - start} visual]" if visual else text, supervised))
            start = end
    return Sample(
        name=name,
        num_tokens=len(tokens.input_ids),
        num_dialogues=len(example.dialogues),
        frames=[len(clip) for clip in example.videos],
        pieces=pieces,
    )
