"""The command `videollm batch`: the same question about many videos, into a file of answers.

Videos are decoded ahead while the model answers. An interrupted run goes on where it stopped; a
run can be divided among processes; a video that cannot be read is a line with its error.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from videollm.clip import Clip
from videollm.errors import DataError, RequestError, VideoLLMError
from videollm.eval.arguments import Parser
from videollm.eval.clip_loader import ClipLoader
from videollm.eval.conditions import Answerer
from videollm.eval.shards import WHOLE, Shard, parse_shard, shard_of_launcher

__all__ = ["answer_videos", "main", "read_video_list"]

_EXAMPLES = """\
examples:
  videollm batch videos.txt --question "What happens?" --output answers.jsonl
  videollm batch videos.txt --question "What happens?" --output answers.jsonl --engine ray

videos.txt has one path or address a line. The same command goes on where it stopped.
"""

Row = dict[str, Any]


def read_video_list(path: Path) -> list[str]:
    """Return the videos that a file names, one a line; empty lines and # comments are left out.

    Args:
        path: The file. Paths in it count from its folder.

    Raises:
        DataError: It cannot be read, or names nothing.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); give a text file of videos") from error
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not names:
        raise DataError(f"{path} names no video; write one path or address a line")
    return [name if "://" in name else str(path.parent / name) for name in names]


def answer_videos(
    model: Answerer,
    videos: Sequence[str],
    question: str,
    load: Callable[[str], Clip],
    *,
    batch_size: int = 8,
    max_new_tokens: int = 64,
    num_workers: int = 2,
) -> Iterator[list[Row]]:
    """Yield the answers of one batch of videos after the other.

    Args:
        model: Who answers.
        videos: Their names.
        question: What is asked about each.
        load: Returns a video's clip; called from threads.
        batch_size: Videos at once.
        max_new_tokens: Longest answer.
        num_workers: Videos decoded at once.

    Yields:
        For each video `video`, `question`, `answer`, `frame_seconds` and `error`, in order.
    """
    batches = [videos[first : first + batch_size] for first in range(0, len(videos), batch_size)]
    with ClipLoader(load, num_workers=num_workers) as loader:
        loader.want(batches[0] if batches else ())
        for batch, following in pairwise([*batches, ()]):
            loader.want(following)
            loaded = {video: loader.get(video) for video in batch}
            shown = [(video, one.clip) for video, one in loaded.items() if one.clip is not None]
            answers = model.batch(
                [clip for _, clip in shown],
                [question] * len(shown),
                max_new_tokens=max_new_tokens,
                batch_size=batch_size,
            )
            said = {video: answer for (video, _), answer in zip(shown, answers, strict=True)}
            yield [
                _row(video, question, said.get(video, ""), loaded[video].clip, loaded[video].error)
                for video in batch
            ]
            loader.keep_only(following)


def _row(video: str, question: str, answer: str, clip: Clip | None, error: str) -> Row:
    seconds = [] if clip is None else [round(time, 6) for time in clip.pts_seconds.tolist()]
    return {
        "video": video,
        "question": question,
        "answer": answer,
        "frame_seconds": seconds,
        "error": error,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        argv: Words after `videollm batch`; None takes those of the process.

    Returns:
        0 when all is answered, 1 when some videos could not be read, 2 for anything else that the
        user can mend, 130 when interrupted.
    """
    try:
        arguments = _build_parser().parse_args(argv)
        num_failed = _run(arguments)
    except VideoLLMError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 1 if num_failed else 0


def _run(arguments: argparse.Namespace) -> int:
    """Answer what is not answered yet, and return how many videos failed."""
    if not arguments.question.strip():
        raise RequestError("the question is empty: write it in quotes after --question")
    shard = parse_shard(arguments.shard) if arguments.shard else shard_of_launcher()
    videos = read_video_list(arguments.videos)
    output: Path = arguments.output.with_suffix(f"{shard.suffix}{arguments.output.suffix}")
    done = _read_done(output, arguments.question)
    own = videos[shard.index :: shard.count]
    waiting = [video for video in dict.fromkeys(own) if video not in done]
    answer = _answer_with_ray if arguments.engine == "ray" else _answer_here
    num_failed = 0
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("a", encoding="utf-8") as file:
        for rows in answer(arguments, waiting) if waiting else ():
            file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
            file.flush()
            num_failed += sum(bool(row["error"]) for row in rows)
    _merge(arguments.output, shard, videos, arguments.question)
    print(f"{len(waiting)} videos asked, {num_failed} failed: {output}")
    return num_failed


def _answer_here(arguments: argparse.Namespace, videos: Sequence[str]) -> Iterator[list[Row]]:
    from videollm.api import VideoLLM

    model = VideoLLM.from_pretrained(
        arguments.model, adapter=arguments.adapter, device=arguments.device, dtype=arguments.dtype
    )
    frames: Any = {"num_frames": arguments.num_frames, "fps": arguments.fps}
    yield from answer_videos(
        model,
        videos,
        arguments.question,
        lambda video: model.load(video, **frames),
        batch_size=arguments.batch_size,
        max_new_tokens=arguments.max_new_tokens,
        num_workers=arguments.decode_workers,
    )


def _answer_with_ray(arguments: argparse.Namespace, videos: Sequence[str]) -> Iterator[list[Row]]:
    from videollm.eval.ray_engine import answer_with_ray

    yield from answer_with_ray(arguments, videos)


def _read_done(path: Path, question: str) -> dict[str, Row]:
    """Return the answers of a file by video, without those that failed, and cut off the rest.

    Raises:
        DataError: It holds answers to another question, or no answers at all.
    """
    if not path.is_file():
        return {}
    lines = path.read_bytes().decode("utf-8", errors="replace").split("\n")[:-1]
    done: dict[str, Row] = {}
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            asked, video, error = row["question"], row["video"], row["error"]
        except (ValueError, KeyError, TypeError) as caught:
            raise DataError(
                f"{path}: line {number} is no answer ({caught}); give another --output"
            ) from caught
        if asked != question:
            raise DataError(f"{path} answers another question ({asked!r}); give another --output")
        if not error:
            done[video] = row
    _write(path, list(done.values()))
    return done


def _merge(output: Path, shard: Shard, videos: Sequence[str], question: str) -> None:
    """Put the shards' answers into one file, in the order of the list, if all are there."""
    if shard == WHOLE:
        return
    found: dict[str, Row] = {}
    for sibling in shard.siblings:
        path = output.with_suffix(f"{sibling.suffix}{output.suffix}")
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            row = json.loads(line)
            found[row["video"]] = row
    if all(video in found for video in videos):
        _write(output, [found[video] for video in dict.fromkeys(videos)])


def _write(path: Path, rows: Sequence[Row]) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="videollm batch",
        description="Ask the same question about many videos.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("videos", type=Path, help="text file with one video a line")
    add("--question", required=True, help="the question, quoted")
    add("--output", type=Path, required=True, help="file for the answers, JSON lines")
    add("--model", default="demo", help="name or folder of the model (default: demo)")
    add("--adapter", help="folder of a LoRA adapter to put onto it")
    add("--num-frames", type=int, help="frames per video (default: the model's own number)")
    add("--fps", type=float, help="frames a second instead")
    add("--batch-size", type=int, default=8, help="videos at once (default: 8)")
    add("--max-new-tokens", type=int, default=64, help="longest answer (default: 64)")
    add("--decode-workers", type=int, default=2, metavar="N", help="videos decoded at once")
    add("--shard", metavar="I/N", help="do part I of N (torchrun says so by itself)")
    add("--engine", choices=("here", "ray"), default="here", help="ray: spread over a Ray cluster")
    add("--workers", type=int, default=1, metavar="N", help="models at once with --engine ray")
    add("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")
    add("--dtype", default="auto", help="auto, float32, bfloat16, ... (default: auto)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
