"""`videollm plan`: what a stream will need, and what fits into a given memory, before it is run."""

import contextlib
import importlib
import json
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from videollm.errors import RequestError

if TYPE_CHECKING:
    from videollm.config import VideoLLMConfig
    from videollm.plan_speed import Speed
    from videollm.planning import Plan, Setting

__all__ = ["EPILOG", "parse_bytes", "parse_size", "plan"]

EPILOG = "\b\nExample: videollm plan --llm qwen3-4b --encoder base --memory 8GiB --hours 1"

LlmOption = Annotated[
    str | None,
    typer.Option(
        "--llm",
        help="Instead of --model: qwen3-0.6b, -1.7b, -4b, -8b or -14b by shape, a folder with a "
        "config.json, or a hub name; no weights are read.",
    ),
]
EncoderOption = Annotated[
    str, typer.Option("--encoder", help="With --llm: demo, tiny, small, middle, base or large.")
]
SizeOption = Annotated[
    int | None, typer.Option("--image-size", help="With --llm: side of a frame, in pixels.")
]
TokensOption = Annotated[
    int, typer.Option("--tokens-per-frame", min=1, help="With --llm: tokens of a token frame.")
]
MemoryOption = Annotated[
    str | None, typer.Option("--memory", help="What there is, as 8GiB: say what fits.")
]
FrameOption = Annotated[str, typer.Option("--frame-size", help="Of the video, WIDTHxHEIGHT.")]
HoursOption = Annotated[float, typer.Option("--hours", help="Length of the video.")]
CardOption = Annotated[
    bool, typer.Option("--gpu/--cpu", help="Plan for a GPU's memory, or for this process's.")
]
TimeOption = Annotated[
    bool, typer.Option("--time/--no-time", help="Measure how long it takes on this machine.")
]


def plan(
    model: Annotated[str, typer.Option("--model", help="Name or folder of a model.")] = "demo",
    llm: LlmOption = None,
    encoder: EncoderOption = "base",
    image_size: SizeOption = None,
    tokens_per_frame: TokensOption = 16,
    memory: MemoryOption = None,
    hours: HoursOption = 1.0,
    fps: Annotated[float, typer.Option("--fps", help="Frames to look at in a second.")] = 2.0,
    budget_tokens: Annotated[int, typer.Option("--budget-tokens", min=1)] = 2048,
    recent_frames: Annotated[int, typer.Option("--recent-frames", min=1)] = 8,
    policy: Annotated[
        str, typer.Option("--policy", help="merge, fifo, uniform, retrieve.")
    ] = "merge",
    kv_cache: Annotated[
        str, typer.Option("--kv-cache", help="plain, offloaded, fp8 ...")
    ] = "plain",
    quantization: Annotated[str | None, typer.Option("--quantization", help="nf4, int8.")] = None,
    dtype: Annotated[str, typer.Option("--dtype", help="Of the LLM.")] = "auto",
    frame_size: FrameOption = "1280x720",
    gpu: CardOption = False,
    time: TimeOption = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Say what a stream will need: frames, tokens, GiB by part, time, and what fits."""
    there = None if memory is None else parse_bytes(memory)
    width, height = parse_size(frame_size)
    with contextlib.redirect_stdout(sys.stderr):
        import torch

        from videollm.plan_speed import measure_speed
        from videollm.planning import PlanRequest, fitting_settings, make_plan
        from videollm.runtime import pick_device, pick_dtype
        from videollm.stream_record import StreamOptions

        device = torch.device("cuda" if gpu else "cpu")
        request = PlanRequest(
            config=_config(model, llm, encoder, image_size, tokens_per_frame),
            options=StreamOptions.of(
                budget_tokens=budget_tokens,
                recent_frames=recent_frames,
                policy=policy,
                kv_cache=kv_cache,
            ),
            duration_seconds=hours * 3600,
            fps=fps,
            dtype=torch.bfloat16 if gpu and dtype == "auto" else pick_dtype(dtype, device),
            quantization=quantization,
            device_type=device.type,
            runtime_bytes=_runtime_bytes(model if llm is None else None),
            frame_height=height,
            frame_width=width,
        )
        made = make_plan(request)
        settings = None if there is None else fitting_settings(request, there)
        speed = (
            measure_speed(request, made, pick_device("auto" if gpu else "cpu")) if time else None
        )
    record = [json.dumps(_record(made, speed, settings))] if as_json else None
    print("\n".join(record or _lines(made, speed, settings, memory)))


def parse_bytes(words: str) -> int:
    """Return a size in bytes.

    Args:
        words: As 8GiB, 500 MiB or 24GB.

    Raises:
        RequestError: It is none.
    """
    units = {"mib": 2**20, "gib": 2**30, "mb": 10**6, "gb": 10**9}
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([MG]i?B)\s*", words, re.IGNORECASE)
    if match is None or not float(match[1]):
        raise RequestError(f"--memory is {words!r}; write a size as 8GiB or 500MiB")
    return int(float(match[1]) * units[match[2].lower()])


def parse_size(words: str) -> tuple[int, int]:
    """Return width and height in pixels.

    Args:
        words: As 1280x720.

    Raises:
        RequestError: They are none.
    """
    match = re.fullmatch(r"\s*([1-9]\d*)\s*x\s*([1-9]\d*)\s*", words)
    if match is None:
        raise RequestError(f"--frame-size is {words!r}; write WIDTHxHEIGHT, as 1280x720")
    return int(match[1]), int(match[2])


def _config(
    model: str, llm: str | None, encoder: str, image_size: int | None, tokens_per_frame: int
) -> "VideoLLMConfig":
    from videollm.config import VideoLLMConfig
    from videollm.encoder import config as presets
    from videollm.llm_shapes import load_llm_config
    from videollm.loading import resolve_model

    if llm is None:
        if image_size is not None:
            raise RequestError("--image-size goes with --llm: the model has a size of its own")
        return VideoLLMConfig.from_pretrained(resolve_model(model).base)
    names = ("demo", "tiny", "small", "middle", "base", "large")
    if encoder not in names:
        raise RequestError(f"--encoder is {encoder!r}; it is one of {', '.join(names)}")
    sizes = {} if image_size is None else {"image_size": image_size}
    try:
        vision = getattr(presets, f"{encoder}_config")(scan_mode="frame_causal", **sizes)
        return VideoLLMConfig(
            vision_config=vision,
            text_config=load_llm_config(llm),
            tokens_per_frame=tokens_per_frame,
        )
    except ValueError as error:
        raise RequestError(str(error)) from error


def _runtime_bytes(model: str | None) -> int:
    """Return what this process holds once all is imported that a model needs, before its weights.

    A model that is there brings its tokenizer, and peft where it has an adapter.
    """
    import videollm.api  # noqa: F401
    from videollm.loading import resolve_model
    from videollm.processor import VideoLLMProcessor
    from videollm.quantize import quiet_bitsandbytes
    from videollm.runtime import quiet_transformers, rss_bytes

    if model is None:
        return rss_bytes()
    source = resolve_model(model)
    with quiet_transformers():
        processor = VideoLLMProcessor.from_pretrained(source.base)
    if source.adapter is not None:
        quiet_bitsandbytes()
        importlib.import_module("peft")
    held = rss_bytes()
    del processor
    return held


def _record(
    made: "Plan", speed: "Speed | None", settings: "list[Setting] | None"
) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        **made.to_dict(),
        "seconds": None if speed is None else asdict(speed),
        "fits": None if settings is None else [asdict(setting) for setting in settings],
    }


def _lines(
    made: "Plan", speed: "Speed | None", settings: "list[Setting] | None", memory: str | None
) -> list[str]:
    lines = [
        f"frames            {made.num_frames:,}",
        f"visual tokens     {made.held_tokens:,} held, of {made.all_tokens:,} in all",
        f"longest prompt    {made.prompt_tokens:,} tokens",
    ]
    if made.context_tokens is not None:
        lines[-1] += f"; the language model reads {made.context_tokens:,}"
    lines += [f"  {name:<16}{size / 2**30:7.2f} GiB" for name, size in made.parts.items()]
    lines.append(f"{'total':<18}{made.total_bytes / 2**30:7.2f} GiB")
    lines += [f"  host {name:<11}{size / 2**30:7.2f} GiB" for name, size in made.host_parts.items()]
    lines.append(
        f"without a memory the cache alone would take {made.plain_cache_bytes / 2**30:.2f} GiB"
    )
    if speed is not None:
        lines.append(
            f"on this machine: {speed.encode_per_minute:.2f} s to encode a minute of video, "
            f"{speed.first_token:.2f} s to the first token of an answer, {speed.next_token:.3f} s "
            "for each further one"
        )
    if settings is not None:
        lines.append(f"what fits {memory}:" if settings else f"nothing fits {memory}")
        lines += [
            f"  --budget-tokens {one.budget_tokens} --kv-cache {one.kv_cache}"
            + (f" --quantization {one.quantization}" if one.quantization else "")
            + f"  ({one.total_bytes / 2**30:.2f} GiB)"
            for one in settings
        ]
    return lines
