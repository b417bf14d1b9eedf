"""A language model as judge: any OpenAI-compatible endpoint, or the model that is evaluated.

Verdicts are kept in `judgements.jsonl` beside the predictions, so that scoring again needs no
judge. A judge that does not answer, or answers nothing that can be read, is asked again; after
the last attempt the item is marked as unjudged and has no score. It is asked again by the next
run.
"""

import hashlib
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from videollm.errors import DataError, RequestError
from videollm.eval.conditions import Answerer
from videollm.eval.judge_prompts import JUDGE_PROMPTS
from videollm.eval.predictions import Prediction
from videollm.eval.settings import RunOptions

__all__ = [
    "HttpJudge",
    "Judge",
    "Judgement",
    "SelfJudge",
    "apply_judgements",
    "build_judge",
    "judge_predictions",
    "read_judgements",
]

MAX_ATTEMPTS = 4
_PARALLEL = 4
_MAX_REPLY_TOKENS = 128
_REFUSALS = (401, 403, 404)


class Judge(Protocol):
    """Answer one prompt with one text."""

    @property
    def name(self) -> str:
        """Return what tells this judge from others in the record."""

    @property
    def parallel(self) -> int:
        """Return how many prompts it takes at once."""

    def ask(self, prompt: str) -> str:
        """Return the reply to a prompt.

        Raises:
            OSError: It cannot be reached just now; ask again.
        """


@dataclass(frozen=True, slots=True)
class HttpJudge:
    """Ask an OpenAI-compatible endpoint; the key is in the environment as OPENAI_API_KEY.

    Args:
        url: Its address up to and with "/v1".
        model: What it calls the model.
        timeout_seconds: How long it may take over one reply.
    """

    url: str
    model: str
    timeout_seconds: float = 60.0

    @property
    def parallel(self) -> int:
        """Return how many prompts are on their way at once."""
        return _PARALLEL

    @property
    def name(self) -> str:
        """Return the address and the model."""
        return f"{self.url} {self.model}"

    def ask(self, prompt: str) -> str:
        """Return the reply to a prompt, at temperature 0; see `Judge.ask`.

        Raises:
            OSError: It cannot be reached, is too slow, or fails.
            RequestError: It refuses the key or does not know the model.
        """
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": _MAX_REPLY_TOKENS,
        }
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get("OPENAI_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(
            f"{self.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers
        )
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_seconds) as response:
                content: Any = json.load(response)
            return str(content["choices"][0]["message"]["content"] or "")
        except urllib.error.HTTPError as error:
            if error.code in _REFUSALS:
                raise RequestError(
                    f"the judge {self.name} answers {error.code} {error.reason}; check --judge, "
                    "--judge-model and OPENAI_API_KEY"
                ) from error
            raise
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise OSError(f"reply is no chat completion ({error})") from error


@dataclass(frozen=True, slots=True)
class SelfJudge:
    """Ask the model that is evaluated, without a video.

    Args:
        model: The model.
    """

    model: Answerer
    name: str = "self"
    parallel: int = 1

    def ask(self, prompt: str) -> str:
        """Return the reply to a prompt; see `Judge.ask`."""
        return self.model.batch([None], [prompt], max_new_tokens=_MAX_REPLY_TOKENS)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Hold what a judge said about one answer.

    Args:
        task: As in `Prediction`, and so are the next two.
        condition: Likewise.
        id: Likewise.
        judge: Name of the judge.
        prompt_sha256: Hash of what it was sent, the answer included.
        reply: What it said last.
        error: Why there is no verdict; empty where there is one.
        attempts: How often it was asked.
    """

    task: str
    condition: str
    id: str
    judge: str
    prompt_sha256: str
    reply: str
    error: str
    attempts: int


def build_judge(options: RunOptions, model: Answerer | None) -> Judge | None:
    """Return the judge that a run names, or None.

    Args:
        options: Names it.
        model: The model that is evaluated; None where none is loaded.

    Raises:
        RequestError: The model is to judge itself and is not loaded.
    """
    if options.judge is None:
        return None
    if options.judge == "self":
        if model is None:
            raise RequestError("--judge self needs the model; give it with the run, or a server")
        return SelfJudge(model)
    assert options.judge_model is not None, "the options were checked"
    return HttpJudge(options.judge, options.judge_model, options.judge_seconds)


def judge_predictions(
    predictions: Sequence[Prediction],
    prompt_name: str,
    judge: Judge,
    path: Path,
    *,
    wait: Callable[[float], None] | None = None,
) -> None:
    """Ask a judge about every answer that it has not judged yet, and append what it says.

    Args:
        predictions: Those of one task, scored; failed and empty answers are left out.
        prompt_name: How it is asked, a name of `JUDGE_PROMPTS`.
        judge: Who is asked.
        path: The file of judgements.
        wait: Waits some seconds between attempts; None sleeps.

    Raises:
        RequestError: The judge refuses to be asked at all.
    """
    pause = wait or time.sleep
    judged = {one.prompt_sha256 for one in read_judgements(path, judge.name) if not one.error}
    asked = [
        one
        for one in predictions
        if one.output.strip() and not one.error and _digest(one, prompt_name) not in judged
    ]
    with ThreadPoolExecutor(judge.parallel) as pool, path.open("a", encoding="utf-8") as file:
        for judgement in pool.map(lambda one: _judge(one, prompt_name, judge, pause), asked):
            file.write(json.dumps(asdict(judgement), ensure_ascii=False) + "\n")
            file.flush()


def _judge(
    prediction: Prediction, prompt_name: str, judge: Judge, wait: Callable[[float], None]
) -> Judgement:
    example, prompt = prediction.example(), JUDGE_PROMPTS[prompt_name]
    text = prompt.render(example, prediction.output)
    reply, error = "", ""
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            reply = judge.ask(text)
            error = "" if prompt.read(reply, example) else "the reply holds no verdict"
        except OSError as caught:
            error = " ".join(f"{type(caught).__name__}: {caught}".split())
        if not error or attempt == MAX_ATTEMPTS:
            break
        wait(2.0 ** (attempt - 1))
    return Judgement(
        task=prediction.task,
        condition=prediction.condition,
        id=prediction.id,
        judge=judge.name,
        prompt_sha256=_digest(prediction, prompt_name),
        reply=reply,
        error=error,
        attempts=attempt,
    )


def _digest(prediction: Prediction, prompt_name: str) -> str:
    text = JUDGE_PROMPTS[prompt_name].render(prediction.example(), prediction.output)
    return hashlib.sha256(text.encode()).hexdigest()


def read_judgements(path: Path, judge: str) -> Iterator[Judgement]:
    """Yield a judge's judgements; a last line without an end is left out.

    Args:
        path: The file; it may be missing.
        judge: Name of the judge.

    Raises:
        DataError: A line is no judgement.
    """
    if not path.is_file():
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")[:-1], start=1):
        try:
            judgement = Judgement(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise DataError(f"{path}: line {number} is no judgement ({error})") from error
        if judgement.judge == judge:
            yield judgement


def apply_judgements(
    predictions: Iterable[Prediction], prompt_name: str, judge: str, path: Path
) -> list[Prediction]:
    """Return predictions with a judge's verdicts in the place of their own.

    An empty answer is wrong without a judge. What was not judged has no score.

    Args:
        predictions: Those of one task.
        prompt_name: How the judge was asked.
        judge: Name of the judge.
        path: The file of judgements.
    """
    replies = {
        one.prompt_sha256: one.reply for one in read_judgements(path, judge) if not one.error
    }
    judged = []
    for prediction in predictions:
        if prediction.error or not prediction.output.strip():
            judged.append(prediction)
            continue
        reply = replies.get(_digest(prediction, prompt_name))
        read = JUDGE_PROMPTS[prompt_name].read
        verdict = read(reply, prediction.example()) if reply is not None else None
        judged.append(
            replace(
                prediction,
                correct=verdict.correct if verdict else None,
                measures={**prediction.measures, **(verdict.measures if verdict else {})},
            )
        )
    return judged
