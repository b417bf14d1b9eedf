"""What the model answers while it learns: a few questions that it never trains on, now and then."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from torch import nn
from torch.utils.data import Dataset
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from videollm.clip import Clip
from videollm.errors import RecipeError
from videollm.generate import Generation, generate_batch
from videollm.model import VideoLLMForConditionalGeneration
from videollm.processor import Message, VideoLLMProcessor
from videollm.scoring import exact_match
from videollm.train.examples import Example
from videollm.train.records import StepRecords

__all__ = ["ANSWERS_FILE", "HeldOutAnswers", "HeldOutQuestion", "held_out_questions"]

ANSWERS_FILE = "answers.jsonl"
MAX_NEW_TOKENS = 48


@dataclass(frozen=True, slots=True)
class HeldOutQuestion:
    """Hold a question and its answer.

    Args:
        videos: The clips that it is about.
        messages: The talk up to the question.
        reference: The answer that the data gives.
    """

    videos: tuple[Clip, ...]
    messages: tuple[Message, ...]
    reference: str

    @property
    def text(self) -> str:
        """Return the question's own words."""
        content = self.messages[-1]["content"]
        if isinstance(content, str):
            return content
        return " ".join(part["text"] for part in content if part["type"] == "text")


def held_out_questions(examples: Dataset[Example], count: int) -> list[HeldOutQuestion]:
    """Return the first question of each of the first examples.

    Args:
        examples: What the run does not learn from.
        count: How many questions.

    Raises:
        RecipeError: There are fewer examples.
    """
    held = len(examples)  # type: ignore[arg-type]
    if held < count:
        raise RecipeError(
            f"answer_questions: {count} given, {held} held-out samples there: set "
            f"validation_clips: {count} or more, or ask for fewer"
        )
    questions = []
    for index in range(count):
        example = examples[index]
        dialogue = example.dialogues[0]
        place = next(k for k, message in enumerate(dialogue) if message["role"] == "assistant")
        reference = str(dialogue[place]["content"])
        questions.append(HeldOutQuestion(example.videos, dialogue[:place], reference))
    return questions


class HeldOutAnswers(TrainerCallback):
    """Ask the same questions before the first step, every few steps and at the end.

    The answers, greedy, go to `answers.jsonl`, a record for each question and time. Learning is
    not touched: no random number is drawn and every part is left in the mode it was in. The first
    process asks; others wait for it at the next step.

    Args:
        processor: The model's.
        questions: What to ask.
        folder: Where the file goes.
        every: Steps between two rounds.
    """

    def __init__(
        self,
        processor: VideoLLMProcessor,
        questions: Sequence[HeldOutQuestion],
        *,
        folder: Path,
        every: int,
    ) -> None:
        self.processor, self.questions, self.every = processor, list(questions), every
        self.records = StepRecords(folder / ANSWERS_FILE)
        self._asked_at = -1

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: object,
    ) -> None:
        """Drop what is younger than the checkpoint; ask where the run begins."""
        if not state.is_world_process_zero:
            return
        self.records.go_on_from(state.global_step)
        self._asked_at = state.global_step
        if state.global_step == 0:
            self._ask(model, 0)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: object,
    ) -> None:
        """Ask where it is time to."""
        if state.is_world_process_zero and state.global_step % self.every == 0:
            self._ask(model, state.global_step)

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: object,
    ) -> None:
        """Ask once more."""
        if state.is_world_process_zero and self._asked_at != state.global_step:
            self._ask(model, state.global_step)

    @torch.no_grad()
    def _ask(self, model: nn.Module | None, step: int) -> None:
        answering = model.get_base_model() if isinstance(model, PeftModel) else model
        assert isinstance(answering, VideoLLMForConditionalGeneration)
        modes = {module: module.training for module in answering.modules()}
        answering.train(mode=False)
        try:
            answers = [self._answer(answering, question) for question in self.questions]
        finally:
            for module, training in modes.items():
                module.training = training
        self.records.append(
            {
                "step": step,
                "question": question.text,
                "reference": question.reference,
                "answer": answer,
                "right": exact_match(answer, question.reference),
            }
            for question, answer in zip(self.questions, answers, strict=True)
        )
        self._asked_at = step

    def _answer(self, model: VideoLLMForConditionalGeneration, question: HeldOutQuestion) -> str:
        text = self.processor.render(question.messages, question.videos, add_generation_prompt=True)
        features = []
        if question.videos:
            pixels = self.processor.pixels(question.videos)
            device = model.device
            features = model.encode_videos(
                pixels["pixel_values"].to(device), pixels["frame_counts"]
            )
        return generate_batch(
            model,
            self.processor,
            self.processor(text),
            features,
            Generation(max_new_tokens=MAX_NEW_TOKENS),
        )[0]
