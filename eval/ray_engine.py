"""Ray Data as the engine of `videollm batch`: the videos spread over a cluster's workers."""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

from videollm.errors import RequestError
from videollm.eval.batch_answers import answer_videos

__all__ = ["answer_with_ray"]


class _Worker:
    """Answer blocks of videos with a model of its own, in a process of Ray.

    Args:
        arguments: Those of `videollm batch`.
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        from videollm.api import VideoLLM

        self._arguments = arguments
        self._model = VideoLLM.from_pretrained(
            arguments["model"],
            adapter=arguments["adapter"],
            device=arguments["device"],
            dtype=arguments["dtype"],
        )

    def __call__(self, block: dict[str, Any]) -> dict[str, list[Any]]:
        """Return the block's rows, a list for each column."""
        frames: Any = {name: self._arguments[name] for name in ("num_frames", "fps")}
        (rows,) = answer_videos(
            self._model,
            [str(video) for video in block["video"]],
            self._arguments["question"],
            lambda video: self._model.load(video, **frames),
            batch_size=len(block["video"]),
            max_new_tokens=self._arguments["max_new_tokens"],
            num_workers=self._arguments["decode_workers"],
        )
        return {name: [row[name] for row in rows] for name in rows[0]}


def answer_with_ray(
    arguments: argparse.Namespace, videos: Sequence[str]
) -> Iterator[list[dict[str, Any]]]:
    """Yield the answers of one block of videos after the other, as workers finish them.

    The cluster is that of RAY_ADDRESS, or a local one. Every worker must be able to read the
    videos under the names that the list gives them.

    Args:
        arguments: Those of `videollm batch`.
        videos: Their names, at least one.

    Raises:
        RequestError: Ray is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise RequestError(
            "--engine ray needs the extra 'ray': run pip install 'videollm[ray]', or "
            "pip install -e '.[ray]' in a checkout"
        ) from error
    import torch

    ray.init(ignore_reinit_error=True, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    needs_gpu = arguments.device != "cpu" and torch.cuda.is_available()
    options = {name: value for name, value in vars(arguments).items() if name != "videos"}
    options = {name: str(value) if name == "output" else value for name, value in options.items()}
    answered = ray.data.from_items([{"video": video} for video in videos]).map_batches(
        _Worker,
        fn_constructor_args=(options,),
        batch_size=arguments.batch_size,
        compute=ray.data.ActorPoolStrategy(size=arguments.workers),
        num_gpus=1 if needs_gpu else 0,
    )
    for block in answered.iter_batches(batch_size=arguments.batch_size, batch_format="pandas"):
        yield [
            {
                **{name: str(row[name]) for name in ("video", "question", "answer", "error")},
                "frame_seconds": [float(time) for time in row["frame_seconds"]],
            }
            for row in block.to_dict("records")
        ]
