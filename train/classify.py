"""Teach an encoder to tell classes of video apart, and test it over several clips and crops.

`python -m videollm.train.classify RECIPE --key value` writes `OUT/classifier/` and, of the test,
`OUT/test/`. `--evaluate OUT` tests the classifier of a finished run again, with other settings
where they are given.
"""

import copy
import logging
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Trainer
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention

from videollm.encoder import VideoMAPForVideoClassification, VideoMAPModel
from videollm.errors import ModelError
from videollm.train.arguments import EncoderArguments
from videollm.train.building import build_encoder, checked, load_trained, vision_config
from videollm.train.classify_arguments import ClassifyArguments, ClassifyDataArguments
from videollm.train.classify_data import ViewCollator
from videollm.train.classify_results import trainer_metrics, write_results
from videollm.train.classify_sets import HeldOutSet, build_held_out_set, build_training_set
from videollm.train.mixing import Mixing
from videollm.train.parts import keep_evaluating
from videollm.train.recipe import RECIPE_FILE
from videollm.train.sharding import is_sharded, whole_state
from videollm.train.stage import Run, run_stage, run_training
from videollm.train.view_arguments import ViewArguments

__all__ = ["CLASSIFIER_FOLDER", "AveragedViews", "build_classifier", "classify", "main"]

logger = logging.getLogger(__name__)

CLASSIFIER_FOLDER = "classifier"
TEST_FOLDER = "test"


class AveragedViews(nn.Module):
    """Classify a video by the mean probability over its views.

    Args:
        classifier: Sees one view at a time, so memory does not grow with their number.
    """

    def __init__(self, classifier: VideoMAPForVideoClassification) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(
        self, pixel_values: Tensor, labels: Tensor | None = None
    ) -> ImageClassifierOutputWithNoAttention:
        """Return log-probabilities (B, K) as logits for pixel_values (B, V, T, 3, S, S)."""
        scores = [self.classifier(view).logits.float() for view in pixel_values.unbind(1)]
        logits = torch.stack(scores).softmax(-1).mean(0).clamp_min(1e-12).log()
        loss = None if labels is None else nn.functional.nll_loss(logits, labels)
        return ImageClassifierOutputWithNoAttention(loss=loss, logits=logits)


def classify(
    run: Run,
    encoder_args: EncoderArguments,
    how: ClassifyArguments,
    data: ClassifyDataArguments,
    views: ViewArguments,
) -> None:
    """Train a classifier, write it to `OUT/classifier` and what the test gives to `OUT/test`.

    Args:
        run: Arguments and checkpoint.
        encoder_args: The encoder to start from: a preset, a pretrained or a classifying folder.
        how: What of it learns, or which finished run to test.
        data: Labelled clips.
        views: How they are cut and changed.

    Raises:
        RecipeError: Arguments contradict each other.
        ModelError: The encoder cannot be had.
        DataError: The lists or videos cannot be used.
    """
    run.args.label_names = ["labels"]
    if how.evaluate is not None:
        model = load_classifier(Path(how.evaluate))
        known = list((model.config.id2label or {}).values())
        test(
            run,
            model,
            build_held_out_set(how, data, views, vision_config(model.encoder), known),
            how,
        )
        return
    encoder = build_encoder(encoder_args)
    learned = build_training_set(run, data, views, vision_config(encoder))
    tested = build_held_out_set(how, data, views, vision_config(encoder), learned.classes)
    model = build_classifier(encoder, learned.classes, how)
    mixing = Mixing(
        num_classes=len(learned.classes),
        mixup=how.mixup,
        cutmix=how.cutmix,
        smoothing=how.label_smoothing,
    )
    run_training(
        run,
        model,
        collator=ViewCollator(mixing=mixing, seed=run.args.seed),
        dataset=learned.views,
        validation=tested.single,
        clips_per_sample=views.repeats,
        metrics=trainer_metrics,
    )
    state = whole_state(model)
    if run.args.should_save:
        model.save_pretrained(run.args.folder / CLASSIFIER_FOLDER, state_dict=state)
    if not is_sharded(model):
        test(run, model, tested, how)
    elif run.args.should_save:
        print(
            "trained; its weights are spread over processes, so it was not tested: test it with "
            f"videollm classify --evaluate {run.args.folder}"
        )


def build_classifier(
    encoder: VideoMAPModel, classes: Sequence[str], how: ClassifyArguments
) -> VideoMAPForVideoClassification:
    """Return a classifier with a new head around an encoder, and freeze what does not learn.

    Args:
        encoder: Its weights are taken over.
        classes: Names of the K classes, which its config keeps.
        how: What of it learns.
    """
    config = copy.deepcopy(vision_config(encoder))
    config.id2label = dict(enumerate(classes))
    config.label2id = {name: index for index, name in enumerate(classes)}
    config.classifier_pooling = "attention" if how.mode == "attentive_probe" else "mean"
    with checked("classify"):
        model = VideoMAPForVideoClassification(config)
    model.encoder.load_state_dict(encoder.state_dict())
    if how.mode != "finetune":
        model.encoder.requires_grad_(False)
        keep_evaluating(model.encoder)
    return model


def load_classifier(folder: Path) -> VideoMAPForVideoClassification:
    """Return the classifier of a run, given its output folder or the classifier's own.

    Raises:
        ModelError: There is none.
    """
    inner = folder / CLASSIFIER_FOLDER
    folder = inner if inner.is_dir() else folder
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"evaluate: {folder} holds no classifier: give the output_dir of a finished "
            "`videollm classify`, or a folder with config.json"
        )
    return load_trained(VideoMAPForVideoClassification, folder, source="evaluate")


def test(
    run: Run,
    model: VideoMAPForVideoClassification,
    tested: HeldOutSet,
    how: ClassifyArguments,
) -> None:
    """Test a classifier over all clips and crops of each video, and write what came out."""
    trainer = Trainer(
        model=AveragedViews(model),
        args=run.args,
        eval_dataset=tested.views,
        data_collator=ViewCollator(as_views=True),
    )
    output = trainer.predict(tested.views)
    if not run.args.should_save:
        return
    assert isinstance(output.predictions, np.ndarray)
    assert isinstance(output.label_ids, np.ndarray)
    results = write_results(
        run.args.folder / TEST_FOLDER,
        logits=output.predictions,
        labels=output.label_ids,
        names=tested.names,
        classes=list((model.config.id2label or {}).values()),
        settings=run.values,
    )
    scores = ", ".join(f"{name} {100 * value:.1f} %" for name, value in results["scores"].items())
    kind = f"{how.test_clips} x {how.test_crops} views"
    bad = f" ({len(results['unreadable'])} more could not be read)" if results["unreadable"] else ""
    print(f"{results['num_videos']} videos{bad}, {kind}: {scores}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    given = sys.argv[1:] if argv is None else list(argv)
    groups = (EncoderArguments, ClassifyArguments, ClassifyDataArguments, ViewArguments)
    return run_stage(_with_recipe(given), stage="classify", groups=groups, body=classify)


def _with_recipe(given: list[str]) -> list[str]:
    """Put the finished run's own recipe and folder in front where `--evaluate` has no recipe."""
    if not given or not given[0].startswith("--"):
        return given
    for word, following in pairwise([*given, ""]):
        key, _, value = word.partition("=")
        folder = value or following
        if key == "--evaluate" and (recipe := Path(folder) / RECIPE_FILE).is_file():
            return [str(recipe), "--output_dir", folder, *given]
    return given


if __name__ == "__main__":
    sys.exit(main())
