"""Predictions in the one order that every run of the same settings has.

Whatever was interrupted, failed and tried again, or divided among processes: the finished file
is the same to the byte.
"""

from collections.abc import Iterable, Mapping, Sequence

from videollm.eval.folder import RunFolder
from videollm.eval.predictions import Prediction, read_predictions, write_predictions
from videollm.eval.runner import cut_batches
from videollm.eval.shards import Shard
from videollm.eval.task import Task

__all__ = ["expected_keys", "merge_predictions"]

Key = tuple[str, str, str]


def expected_keys(
    tasks: Sequence[Task], conditions: Mapping[str, Sequence[str]], batch_size: int
) -> Iterable[Key]:
    """Yield task, condition and item of every prediction of a run, in order.

    Args:
        tasks: In the order of the run.
        conditions: By task, in the order of the run.
        batch_size: Examples per batch.
    """
    for task in tasks:
        for batch in cut_batches(task.examples, batch_size):
            for condition in conditions[task.name]:
                yield from ((task.name, condition, example.id) for example in batch)


def merge_predictions(
    folder: RunFolder, shard: Shard, keys: Iterable[Key]
) -> list[Prediction] | None:
    """Write the whole run's predictions in order, if every part of it is there.

    Several processes may do so at once: each writes the same.

    Args:
        folder: The run's folder.
        shard: Any of its shards.
        keys: What there must be, in order.

    Returns:
        The predictions, or None while some are missing.
    """
    paths = [folder.predictions_path, *map(folder.shard_path, shard.siblings)]
    found = {one.key: one for path in dict.fromkeys(paths) for one in read_predictions(path)}
    ordered = [found.get(key) for key in keys]
    whole = [prediction for prediction in ordered if prediction is not None]
    if len(whole) < len(ordered):
        return None
    if read_predictions(folder.predictions_path) != whole:
        write_predictions(folder.predictions_path, whole)
    return whole
