"""How many tokens samples have, and orders of samples that go by it.

An order is a pure function of the run's seed, so a run that goes on sees what it would have seen.
Lengths are asked for when they are needed, a stretch of samples ahead of the training.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, count, islice

import numpy as np
from torch.utils.data import Sampler

from videollm.clip import Clip
from videollm.config import VIDEO_TOKEN
from videollm.processor import VideoLLMProcessor
from videollm.train.draws import DrawSampler
from videollm.train.examples import Dialogue, Example

__all__ = ["LengthGroupSampler", "RowSampler", "dialogue_tokens", "fill_rows", "sample_tokens"]

WINDOW = 1024
"""Samples among which those are looked for that fit together."""


def dialogue_tokens(
    processor: VideoLLMProcessor, dialogue: Dialogue, videos: Sequence[Clip] = ()
) -> tuple[int, int]:
    """Return the tokens of a dialogue that stands alone, and of its prefix with the visual ones."""
    text = processor.render(dialogue, videos)
    # Most tokens are placeholders, and all of a frame are alike: one of them is enough to count.
    each = processor.tokens_per_frame
    short = text.replace(VIDEO_TOKEN * each, VIDEO_TOKEN)
    ids = processor.tokenizer(short, add_special_tokens=False)["input_ids"]
    visual = [place for place, token in enumerate(ids) if token == processor.video_token_id]
    more = len(visual) * (each - 1)
    return len(ids) + more, visual[-1] + 1 + more if visual else 0


def sample_tokens(processor: VideoLLMProcessor, example: Example) -> int:
    """Return the tokens of a sample whose dialogues share their prefix."""
    counts = [dialogue_tokens(processor, item, example.videos) for item in example.dialogues]
    prefix = counts[0][1]
    return prefix + sum(length - prefix for length, _ in counts)


def fill_rows(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Return the places of `lengths` gathered into rows of at most `max_tokens`.

    A sample that is longer by itself has a row to itself. Rows are filled from the longest sample
    on, each into the fullest row that has room (best fit decreasing: at most 11/9 of the fewest
    rows, and one more).
    """
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # tokens left and number of each row, rising
    for place in sorted(range(len(lengths)), key=lambda item: -lengths[item]):
        fullest = bisect_left(room, (lengths[place], 0))
        if fullest < len(room):
            left, row = room.pop(fullest)
        else:
            left, row = max_tokens, len(rows)
            rows.append([])
        rows[row].append(place)
        insort(room, (left - lengths[place], row))
    return rows


class RowSampler(Sampler[tuple[int, ...]]):
    """Go through all samples again and again, as rows of draws that fit together.

    The passes are those of a `DrawSampler`. Of each `WINDOW` draws in turn, or of each pass where
    that is shorter, those are put into a row that fill it best, and the rows come in random order.
    An epoch is as many whole global batches of rows as a pass needs, reckoned by the first window.

    Args:
        num_samples: Samples of one pass, at least 1.
        seed: Seed of the orders.
        tokens: Most tokens of a draw's sample.
        max_tokens: Of a row.
        batch_size: Rows of a step, over all processes.
    """

    def __init__(
        self,
        num_samples: int,
        seed: int,
        *,
        tokens: Callable[[int], int],
        max_tokens: int,
        batch_size: int = 1,
    ) -> None:
        self.seed, self.tokens, self.max_tokens = seed, tokens, max_tokens
        self.draws = DrawSampler(num_samples, seed)
        self.window = min(num_samples, WINDOW)
        num_rows = len(next(self._windows())) * num_samples / self.window
        self.length = math.ceil(num_rows / batch_size) * batch_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next pass is; the training loop does."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        start = self.epoch * self.length
        rows = chain.from_iterable(self._windows())
        yield from islice(rows, start, start + self.length)

    def _windows(self) -> Iterator[list[tuple[int, ...]]]:
        """Yield the rows of each window in turn."""
        passes = self.draws.forever()
        for number in count():
            draws = list(islice(passes, self.window))
            rows = fill_rows([self.tokens(draw) for draw in draws], self.max_tokens)
            order = np.random.default_rng([self.seed, number]).permutation(len(rows))
            yield [tuple(draws[place] for place in rows[row]) for row in order]


class LengthGroupSampler(DrawSampler):
    """Give each step samples of about the same length, steps in random order.

    Args:
        num_samples: Samples of one pass, at least 1.
        seed: Seed of the orders.
        tokens: Most tokens of a draw's sample.
        batch_size: Samples of a step, over all processes.
    """

    def __init__(
        self, num_samples: int, seed: int, *, tokens: Callable[[int], int], batch_size: int = 1
    ) -> None:
        super().__init__(num_samples, seed, batch_size=batch_size)
        self.tokens, self.batch_size = tokens, batch_size

    def __iter__(self) -> Iterator[int]:
        draws = super().__iter__()
        size = max(1, WINDOW // self.batch_size) * self.batch_size
        for number in count():
            window = sorted(islice(draws, size), key=self.tokens)
            if not window:
                return
            rng = np.random.default_rng([self.seed, self.epoch, number])
            steps = rng.permutation(np.reshape(window, (-1, self.batch_size)))
            yield from map(int, steps.flat)
