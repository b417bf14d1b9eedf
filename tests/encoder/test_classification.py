"""The classifier: what its head reads, its loss, its life on disk, and what it refuses."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForVideoClassification

from tests.tiny import tiny_encoder
from videollm.encoder import VideoMAPForVideoClassification, VideoMAPModel

CLASSES = 3


def classifier(**overrides: object) -> VideoMAPForVideoClassification:
    fields = {"num_labels": CLASSES, **overrides}
    return VideoMAPForVideoClassification(tiny_encoder(**fields)).eval()


def clips(batch: int = 2) -> Tensor:
    return torch.randn(batch, 4, 3, 16, 16)


@pytest.mark.parametrize("mode", ["bidirectional", "frame_causal"])
def test_the_head_reads_the_mean_over_tokens(mode: str) -> None:
    model, video = classifier(scan_mode=mode), clips()
    with torch.no_grad():
        tokens = model.encoder(video).last_hidden_state
        torch.testing.assert_close(model(video).logits, model.head(tokens).mean(dim=1))


def test_the_head_reads_cls_alone_where_there_is_one() -> None:
    model, video = classifier(use_cls_token=True), clips()
    with torch.no_grad():
        tokens = model.encoder(video).last_hidden_state
        assert torch.equal(model(video).logits, model.head(tokens[:, 0]))


def test_loss_is_the_mean_cross_entropy_of_labels_or_probabilities() -> None:
    model, video = classifier(), clips()
    labels = torch.tensor([2, 0])
    with torch.no_grad():
        output = model(video, labels=labels)
        expected = -output.logits.log_softmax(-1)[torch.arange(2), labels].mean()
        torch.testing.assert_close(output.loss, expected)
        one_hot = torch.nn.functional.one_hot(labels, CLASSES).float()
        torch.testing.assert_close(model(video, labels=one_hot).loss, expected)
        assert model(video).loss is None


def test_gradient_reaches_every_parameter() -> None:
    model = classifier(use_cls_token=True).train()
    model(clips(), labels=torch.tensor([0, 1])).loss.backward()
    assert all(value.grad.abs().sum() > 0 for _, value in model.named_parameters())


def test_hidden_states_are_returned_when_asked_for() -> None:
    model, video = classifier(), clips()
    with torch.no_grad():
        assert model(video).hidden_states is None
        assert len(model(video, output_hidden_states=True).hidden_states) == 5


def test_save_and_load_is_identity(tmp_path: Path) -> None:
    names = {0: "left", 1: "right", 2: "still"}
    model = classifier(id2label=names, use_cls_token=True)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForVideoClassification.from_pretrained(tmp_path).eval()
    assert isinstance(loaded, VideoMAPForVideoClassification)
    assert loaded.config.id2label == names
    assert loaded.config.to_diff_dict() == model.config.to_diff_dict()
    encoder = VideoMAPModel.from_pretrained(tmp_path).eval()
    video = clips()
    with torch.no_grad():
        assert torch.equal(model(video).logits, loaded(video).logits)
        own, other = model.encoder(video), encoder(video)
    assert torch.equal(own.last_hidden_state, other.last_hidden_state)


def test_an_encoder_s_folder_gets_a_new_head(tmp_path: Path) -> None:
    encoder = VideoMAPModel(tiny_encoder()).eval()
    encoder.save_pretrained(tmp_path)
    model = VideoMAPForVideoClassification.from_pretrained(tmp_path, num_labels=7).eval()
    video = clips()
    with torch.no_grad():
        assert model(video).logits.shape == (2, 7)
        own, other = encoder(video), model.encoder(video)
    assert torch.equal(own.last_hidden_state, other.last_hidden_state)


@pytest.mark.parametrize("problem", ["regression", "multi_label_classification"])
def test_other_problems_are_refused(problem: str) -> None:
    with pytest.raises(ValueError, match="single_label_classification only"):
        classifier(problem_type=problem)
