"""The recipes of the paper's settings run from end to end, shrunk in nothing but size."""

from pathlib import Path

import pytest
from transformers import CLIPVisionConfig, CLIPVisionModel

from tests.videollm.drawn import draw_video, numbered_frames
from videollm.encoder import VideoMAPConfig, VideoMAPForVideoClassification, VideoMAPModel
from videollm.train import classify, pretrain

SMALLER = [
    *["--num_frames", "4", "--per_device_train_batch_size", "2", "--use_cpu"],
    *["--gradient_accumulation_steps", "1", "--num_train_epochs", "1", "--warmup_epochs", "0"],
    *["--dataloader_num_workers", "0", "--dataloader_persistent_workers", "false"],
    *["--dataloader_pin_memory", "false", "--bf16", "false", "--disable_tqdm", "true"],
]
TINY = (
    '{"scan_mode": "frame_causal", "drop_path_rate": 0.4, "image_size": 32, "hidden_size": 32,'
    ' "num_layers": 5, "num_attention_heads": 2, "state_size": 4}'
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a list of four videos of two classes, as the recipes name it."""
    folder = tmp_path_factory.mktemp("k400")
    for number in range(4):
        frames = numbered_frames(8, height=40, width=48)
        (folder / f"{number}.mp4").write_bytes(draw_video(frames))
    path = folder / "train.csv"
    path.write_text("".join(f"{number}.mp4,{number % 2}\n" for number in range(4)))
    return path


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> Path:
    folder = tmp_path_factory.mktemp("pretrained")
    clip = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
    )
    CLIPVisionModel(clip).save_pretrained(folder / "clip")
    given = ["--data_path", str(videos), "--teacher_model", str(folder / "clip")]
    given += ["--output_dir", str(folder / "out"), "--encoder_overrides", TINY, *SMALLER]
    assert pretrain.main(["pretrain_k400_middle", *given]) == 0
    return folder / "out" / "encoder"


def test_pretraining_gives_a_frame_causal_encoder(pretrained: Path) -> None:
    config = VideoMAPModel.from_pretrained(pretrained).config
    assert isinstance(config, VideoMAPConfig)
    assert config.scan_mode == "frame_causal"
    assert config.layer_kinds == "MMMMT"


def test_fine_tuning_starts_from_it_and_tests_twelve_views(
    pretrained: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--data_path", str(videos), "--validation_path", str(videos)]
    given += ["--output_dir", str(tmp_path), "--encoder", str(pretrained), *SMALLER]
    assert classify.main(["finetune_k400", *given]) == 0
    assert "4 videos, 4 x 3 views: top1" in capsys.readouterr().out
    config = VideoMAPForVideoClassification.from_pretrained(tmp_path / "classifier").config
    assert config.drop_path_rate == 0.4
    assert config.num_labels == 2
