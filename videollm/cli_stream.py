"""`videollm stream`: watch a file, an address or a camera, and answer on the way and at the end."""

import contextlib
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from videollm.errors import RequestError

if TYPE_CHECKING:
    from videollm.clip import Clip
    from videollm.long_video import WatchProgress
    from videollm.stream_record import StreamAnswer
    from videollm.streaming import StreamSession

__all__ = ["EPILOG", "WatchBar", "parse_questions", "stream", "watch"]

EPILOG = (
    "\b\nExample: videollm stream clip.mp4 --ask '2:What colour is the circle?' --json\n"
    "Example: videollm stream camera:0 --when-changed 'Is anybody there?'"
)
_FILE_CHUNK = 16


SourceArgument = Annotated[
    str, typer.Argument(metavar="SOURCE", help="A video, an http(s) or rtsp URL, or camera:0.")
]
AskOption = Annotated[
    list[str] | None,
    typer.Option(
        "--ask",
        metavar="SECONDS:QUESTION",
        help="Ask at this second, and again at the end; end:QUESTION at the end alone. "
        "May be given again.",
    ),
]
ChangedOption = Annotated[
    list[str] | None,
    typer.Option(
        "--when-changed",
        metavar="QUESTION",
        help="Ask every few seconds, and say so when the answer changes. May be given again.",
    ),
]
EveryOption = Annotated[
    float, typer.Option("--every", help="Seconds between the checks of --when-changed.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One line of JSON an answer.")]
FpsOption = Annotated[float, typer.Option("--fps", help="Frames to look at in a second.")]
RealTimeOption = Annotated[
    bool, typer.Option("--real-time", help="Show a file at its own pace, not at full speed.")
]
StopOption = Annotated[
    float | None, typer.Option("--stop-after", help="Second of the stream to stop at.")
]
BudgetOption = Annotated[
    int, typer.Option("--budget-tokens", min=1, help="Most visual tokens to hold.")
]
RecentOption = Annotated[
    int, typer.Option("--recent-frames", min=1, help="Token frames at the end kept whole.")
]
PolicyOption = Annotated[str, typer.Option("--policy", help="merge, fifo, uniform or retrieve.")]
ShownOption = Annotated[
    int | None, typer.Option("--shown-tokens", min=1, help="Most to show of a long stream.")
]
BankOption = Annotated[float, typer.Option("--bank-mib", help="Size of the bank of retrieve.")]
CacheOption = Annotated[
    str, typer.Option("--kv-cache", help="plain, offloaded, fp8, quanto or hqq.")
]
SaveOption = Annotated[str | None, typer.Option("--save", help="Session file, for the end.")]
LengthOption = Annotated[
    int, typer.Option("--max-new-tokens", min=1, help="Longest answer, in tokens.")
]
ModelOption = Annotated[str, typer.Option("--model", help="Name or folder of a model.")]
AdapterOption = Annotated[
    str | None, typer.Option("--adapter", help="Folder of a LoRA adapter to put on the model.")
]
QuantizationOption = Annotated[
    str | None, typer.Option("--quantization", help="nf4 or int8, of the LLM  [default: none].")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
DtypeOption = Annotated[str, typer.Option("--dtype", help="auto, float32, bfloat16 or float16.")]


def stream(
    source: SourceArgument,
    ask: AskOption = None,
    when_changed: ChangedOption = None,
    every: EveryOption = 5.0,
    as_json: JsonOption = False,
    fps: FpsOption = 2.0,
    real_time: RealTimeOption = False,
    stop_after: StopOption = None,
    budget_tokens: BudgetOption = 2048,
    recent_frames: RecentOption = 8,
    policy: PolicyOption = "merge",
    shown_tokens: ShownOption = None,
    bank_mib: BankOption = 256.0,
    kv_cache: CacheOption = "plain",
    save: SaveOption = None,
    max_new_tokens: LengthOption = 64,
    model: ModelOption = "demo",
    adapter: AdapterOption = None,
    quantization: QuantizationOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
) -> None:
    """Watch a video of any length in constant memory; answer at given times and at the end."""
    questions = parse_questions(ask or [])
    if not questions and not when_changed:
        raise RequestError("nothing to ask: give --ask SECONDS:QUESTION or --when-changed QUESTION")
    if stop_after is not None and not 0 <= stop_after < math.inf:
        raise RequestError(f"--stop-after is {stop_after:g}; it must be at least 0")
    tell = partial(_print_json if as_json else _print_text, sys.stdout)
    # Libraries that print would spoil the one thing that belongs on stdout.
    with contextlib.redirect_stdout(sys.stderr):
        from videollm.api import VideoLLM
        from videollm.live import LiveOptions, LiveStream, is_live_source

        with LiveStream.open(source, fps, options=LiveOptions(real_time=real_time)) as live:
            loaded = VideoLLM.from_pretrained(
                model, adapter=adapter, quantization=quantization, device=device, dtype=dtype
            )
            session = loaded.stream(
                budget_tokens=budget_tokens,
                recent_frames=recent_frames,
                policy=policy,
                shown_tokens=shown_tokens,
                bank_mib=bank_mib,
                kv_cache=kv_cache,
            )
            for question in when_changed or []:
                session.stand(question, tell, every_seconds=every)
            is_slow = real_time or is_live_source(source)
            chunk_frames = loaded.processor.tubelet_size if is_slow else _FILE_CHUNK
            clips = _until(live.clips(chunk_frames), math.inf if stop_after is None else stop_after)
            for answer in watch(session, clips, questions, max_new_tokens=max_new_tokens):
                tell(answer)
        if save is not None:
            session.save(save)


def parse_questions(asked: list[str]) -> list[tuple[float, str]]:
    """Return times in seconds, infinite for the end, with their questions, in order of time.

    Args:
        asked: As on the command line, SECONDS:QUESTION or end:QUESTION.

    Raises:
        RequestError: One is not of this form.
    """
    found = []
    for words in asked:
        time, colon, question = words.partition(":")
        try:
            second = math.inf if time.strip() == "end" else float(time)
        except ValueError:
            second = math.nan
        if not colon or not question.strip() or not second >= 0:
            raise RequestError(
                f"--ask is {words!r}; write SECONDS:QUESTION or end:QUESTION, for example "
                "--ask '12.5:What happens?'"
            )
        found.append((second, question.strip()))
    return sorted(found, key=lambda one: one[0])


class WatchBar:
    """A bar on stderr with frames, speed and tokens; shown once there is something to tell."""

    def __init__(self) -> None:
        self._bar: Any = None

    def update(self, progress: "WatchProgress") -> None:
        """Show how far it is.

        Args:
            progress: What was watched so far.
        """
        if self._bar is None:
            self._bar = _start_bar(progress.total_frames)
        tokens = f"{progress.tokens_held} tokens"
        self._bar.update(self._bar.task_ids[0], completed=progress.num_frames, tokens=tokens)

    def close(self) -> None:
        """Take it away."""
        if self._bar is not None:
            self._bar.stop()


def _start_bar(total: int | None) -> Any:  # noqa: ANN401
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed or 0.0:.0f} frames/s")

    columns = (
        TextColumn("watching"),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TextColumn("{task.fields[tokens]}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
    bar.add_task("frames", total=total, tokens="")
    bar.start()
    return bar


def watch(
    session: "StreamSession",
    clips: Iterable["Clip"],
    questions: Sequence[tuple[float, str]],
    *,
    max_new_tokens: int,
) -> Iterator["StreamAnswer"]:
    """Push clips; yield the answers at their times, and at the end those to all questions again.

    A question is asked when all frames up to its time were seen, and no later one. At the end none
    is asked again that was just asked about the same frames. Ctrl-C is the end.

    Args:
        session: Where the frames go.
        clips: The stream.
        questions: Times in seconds with their questions, in order of time.
        max_new_tokens: Longest answer.
    """
    waiting = list(questions)
    answered: dict[str, int] = {}

    def answer(question: str) -> "StreamAnswer":
        found = session.answer(question, max_new_tokens=max_new_tokens)
        answered[question] = found.frames_seen
        return found

    try:
        for clip in clips:
            rest: Clip | None = clip
            while rest is not None and waiting and waiting[0][0] < float(rest.pts_seconds[-1]):
                now, rest = _split(rest, waiting[0][0])
                if now is not None:
                    session.push(now.frames, now.pts_seconds)
                yield answer(waiting.pop(0)[1])
            if rest is not None:
                session.push(rest.frames, rest.pts_seconds)
    except KeyboardInterrupt:
        print("stopped: answering about what was seen", file=sys.stderr)
    seen = session.stats().frames_seen
    for question in dict.fromkeys(question for _, question in questions):
        if answered.get(question) != seen:
            yield answer(question)


def _until(clips: Iterator["Clip"], second: float) -> Iterator["Clip"]:
    """Yield clips up to a time, which may fall into one of them."""
    for clip in clips:
        now, rest = _split(clip, second)
        if now is not None:
            yield now
        if rest is not None:
            return


def _split(clip: "Clip", second: float) -> tuple["Clip | None", "Clip | None"]:
    """Return the frames up to a time, and those after it."""
    from videollm.clip import Clip

    count = int((clip.pts_seconds <= second).sum())
    parts = [
        Clip(clip.frames[part], clip.pts_seconds[part]) if len(clip.pts_seconds[part]) else None
        for part in (slice(count), slice(count, None))
    ]
    return parts[0], parts[1]


def _print_json(out: TextIO, answer: "StreamAnswer") -> None:
    print(json.dumps(answer.to_dict(), ensure_ascii=False), file=out, flush=True)


def _print_text(out: TextIO, answer: "StreamAnswer") -> None:
    line = f"{answer.at_seconds:.1f}s  {answer.question}  {answer.answer}"
    print(line, file=out, flush=True)
