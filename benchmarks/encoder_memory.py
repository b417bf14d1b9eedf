"""Print the encoder's estimated and measured peak memory side by side.

Both are bytes above the weights, the clip and, for training, the gradients. Measured is what
torch's allocator hands out while the model runs.

    python benchmarks/encoder_memory.py --preset tiny --frames 16
"""

import argparse
from collections.abc import Callable, Iterator

import torch
from torch.profiler import ProfilerActivity, profile

from videollm import encoder
from videollm.encoder import VideoMAPModel

MIB = 1 << 20


def peak_bytes(function: Callable[[], object], device: torch.device) -> int:
    """Return the most bytes that tensors on `device` took in `function`, above those before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    assert profiler.profiler is not None
    events = profiler.profiler.kineto_results.events()
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


def compare(model: VideoMAPModel, clip: torch.Tensor, way: str) -> tuple[int, int]:
    """Return the estimated and the measured peak in bytes of one way to run the model.

    Args:
        model: In the dtype of the clip.
        clip: (B, frames, C, height, width).
        way: "whole", "chunks", "training" or "checkpointing".
    """
    batch, frames, _, height, width = clip.shape
    training = way in ("training", "checkpointing")
    chunk_frames = frames // 4 if way == "chunks" else None
    estimate = model.estimate_memory(
        frames,
        height=height,
        width=width,
        batch_size=batch,
        training=training,
        chunk_frames=chunk_frames,
        gradient_checkpointing=way == "checkpointing",
    )

    @torch.no_grad()
    def read() -> object:
        if chunk_frames is not None:
            return model.encode_chunked(clip, chunk_frames=chunk_frames)
        return model(clip)

    def train() -> None:
        features = model(clip).last_hidden_state
        features.backward(features.detach())

    model.train(training)
    if way == "checkpointing":
        model.activation_checkpointing_enable()
    run = train if training else read
    run()  # kernels are built, gradients are there
    measured = peak_bytes(run, clip.device)
    model.activation_checkpointing_disable()
    return estimate.state_bytes + estimate.activation_bytes, measured


def rows(
    preset: str, frames: int, batch: int, dtype: torch.dtype
) -> Iterator[tuple[str, str, int, int]]:
    """Yield mode, way, estimate and measure of every way that a preset can run."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for mode in ("frame_causal", "bidirectional"):
        config = getattr(encoder, f"{preset}_config")(scan_mode=mode)
        model = VideoMAPModel(config)
        torch.nn.Module.to(model, device, dtype)  # transformers' own `to` is typed wrongly
        side = config.image_size
        clip = torch.randn(batch, frames, config.num_channels, side, side).to(device, dtype)
        for way in ("whole", "chunks", "training", "checkpointing"):
            if mode == "frame_causal" or way != "chunks":
                yield mode, way, *compare(model, clip, way)


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="demo", help="demo, tiny, small, middle, base, large")
    parser.add_argument("--frames", type=int, default=32, help="of a clip (default 32)")
    parser.add_argument("--batch", type=int, default=1, help="clips (default 1)")
    parser.add_argument("--dtype", default="float32", help="of weights and pixels")
    args = parser.parse_args()
    print(f"{'mode':<14}{'way':<15}{'estimated':>10}{'measured':>10} MiB   ratio")
    for mode, way, estimated, measured in rows(
        args.preset, args.frames, args.batch, getattr(torch, args.dtype)
    ):
        line = f"{mode:<14}{way:<15}{estimated / MIB:>10.1f}{measured / MIB:>10.1f}"
        print(f"{line} {estimated / measured:>11.3f}")


if __name__ == "__main__":
    main()
