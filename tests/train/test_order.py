"""The order of samples of a run that stopped is that of one that did not, with workers too."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.tiny import tiny_videollm
from videollm.processor import VideoLLMProcessor
from videollm.train.checkpoints import MarkComplete, newest_complete
from videollm.train.decoding import DecodeArguments
from videollm.train.dialogue_arguments import DialogueArguments
from videollm.train.dialogue_sets import build_dialogues
from videollm.train.examples import Example
from videollm.train.parts import PartsTrainer
from videollm.train.stage import Run
from videollm.train.stage_arguments import StageArguments

NUM_STEPS = 9


class Listener(nn.Module):
    """Remember which samples came, and learn next to nothing."""

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen: list[list[int]] = []
        self.stop_after = stop_after

    def forward(self, numbers: Tensor) -> dict[str, Tensor]:
        if len(self.seen) == self.stop_after:
            raise KeyboardInterrupt
        self.seen.append(numbers.tolist())
        return {"loss": (self.weight * numbers).sum()}


def numbers_of(examples: list[Example]) -> dict[str, Tensor]:
    """Return which records a batch holds; scenes of the toy world are 1000 and up."""
    texts = [example.dialogues[0][0]["content"] for example in examples]
    return {
        "numbers": torch.tensor(
            [int(text) if isinstance(text, str) else 1000 + len(text[1]["text"]) for text in texts]
        )
    }


@pytest.fixture(scope="module")
def processor(tiny_llm: Path) -> VideoLLMProcessor:
    return tiny_videollm(tiny_llm)[1]


def train(
    folder: Path, data: Path, processor: VideoLLMProcessor, *, workers: int, stop: int | None = None
) -> list[list[int]]:
    arguments = StageArguments(
        output_dir=str(folder), max_steps=NUM_STEPS, per_device_train_batch_size=2, save_steps=2,
        gradient_accumulation_steps=2, dataloader_num_workers=workers, seed=5, report_to=[],
        disable_tqdm=True, use_cpu=True, logging_steps=100, learning_rate=1e-9,
    )  # fmt: skip
    run = Run(stage="instruct", args=arguments, values={}, checkpoint=newest_complete(folder))
    mixture = DialogueArguments(
        mixture={
            "few": {"data_path": str(data / "few.jsonl"), "weight": 2},
            "many": {"data_path": str(data / "many.jsonl"), "sampling": "random:50%"},
            "toy": {"num_clips": 3, "questions_per_clip": 1},
        },
        mixing="weights",
        num_frames=2,
    )  # fmt: skip
    dataset, _ = build_dialogues(run, mixture, DecodeArguments(), processor)
    model = Listener(stop)
    trainer = PartsTrainer(
        model=model, args=arguments, data_collator=numbers_of, train_dataset=dataset,
        callbacks=[MarkComplete()],
    )  # fmt: skip
    checkpoint = None if run.checkpoint is None else str(run.checkpoint)
    if stop is None:
        trainer.train(resume_from_checkpoint=checkpoint)
    else:
        with pytest.raises(KeyboardInterrupt):
            trainer.train(resume_from_checkpoint=checkpoint)
    return model.seen


@pytest.mark.parametrize(("stop", "saved"), [(5, 2), (13, 6)])
def test_a_resumed_run_sees_the_samples_of_an_uninterrupted_one(
    stop: int, saved: int, processor: VideoLLMProcessor, tmp_path: Path
) -> None:
    for name, numbers in (("few", range(3)), ("many", range(100, 114))):
        records = [
            {"messages": [{"role": "user", "content": f"{number}"},
                          {"role": "assistant", "content": "yes"}]}
            for number in numbers
        ]  # fmt: skip
        lines = "\n".join(map(json.dumps, records))
        (tmp_path / f"{name}.jsonl").write_text(lines)
    whole = train(tmp_path / "whole", tmp_path, processor, workers=0)
    assert len(whole) == 2 * NUM_STEPS
    # Thirteen draws a pass, 3 batches of 4 and one draw: the run is in its third pass at the end.
    drawn = [number for batch in whole for number in batch]
    assert sum(number < 100 for number in drawn[:13]) == 7
    killed = tmp_path / "killed"
    first = train(killed, tmp_path, processor, workers=2, stop=stop)
    assert newest_complete(killed) == killed / f"checkpoint-{saved}"
    rest = train(killed, tmp_path, processor, workers=2)
    assert first == whole[:stop]
    assert rest == whole[2 * saved :]
