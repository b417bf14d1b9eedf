"""Teach the whole model to answer: LoRA, QLoRA, DoRA, or every weight of the language model.

`python -m videollm.train.instruct RECIPE --key value` writes `OUT/` (config, encoder, projector,
processor: the base as it was) and `OUT/adapter/`, a standard PEFT folder with the adapter, the
trained projector, and the encoder where it was trained; with `tuning: full`, `OUT/` alone, which
then holds all weights. `OUT/README.md` is the model card.
"""

import sys
from collections.abc import Sequence

from videollm.train.adapter_arguments import AdapterArguments
from videollm.train.arguments import DataArguments, ModelArguments
from videollm.train.building import build_dialogues, build_videollm
from videollm.train.collate import PackingCollator
from videollm.train.run_card import write_run_card
from videollm.train.stage import Run, run_stage, run_training
from videollm.train.tuning import model_arguments, prepare_tuning

__all__ = ["instruct", "main"]


def instruct(
    run: Run, model_args: ModelArguments, adapter: AdapterArguments, data: DataArguments
) -> None:
    """Train an adapter, or the whole model, and write a folder that loads again.

    Args:
        run: Arguments and checkpoint.
        model_args: The model to start from, best one that align wrote. Where it has an adapter
            already, that one goes on.
        adapter: Which weights learn.
        data: What is asked.

    Raises:
        RecipeError: Arguments contradict each other.
        DataError: The data cannot be used.
        ModelError: A model cannot be had.
    """
    model_args = model_arguments(model_args, adapter)
    quantization = "nf4" if adapter.tuning == "qlora" else None
    model, processor = build_videollm(run, model_args, data, quantization=quantization)
    dataset, validation = build_dialogues(run, data, processor)
    text_model = model.config.text_model
    tuning = prepare_tuning(run, model, model_args, adapter)
    run.args.prediction_loss_only = True
    collator = PackingCollator(processor=processor, max_length=data.max_length)
    run_training(run, tuning.trained, collator=collator, dataset=dataset, validation=validation)
    if run.args.should_save:
        tuning.save(run.args.folder, tuning.trained.state_dict())
        processor.save_pretrained(run.args.folder)
        write_run_card(
            run,
            model,
            text_model=text_model,
            adapter=tuning.description,
            license_name=adapter.license,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    groups = (ModelArguments, AdapterArguments, DataArguments)
    return run_stage(argv, stage="instruct", groups=groups, body=instruct)


if __name__ == "__main__":
    sys.exit(main())
