"""The released checkpoint: it answers about the world it was trained on, within its budgets."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from videollm import VideoLLM
from videollm.scoring import exact_match
from videollm.toyworld import make_questions, make_scene, render_frames, write_clip

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "checkpoints" / "demo"
NUM_CLIPS = 12

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo() -> VideoLLM:
    return VideoLLM.from_pretrained("demo", device="cpu")


def test_it_is_small_and_holds_no_language_model() -> None:
    files = [path for path in DEMO.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 30_000_000
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".jinja", ".md"}
    with safe_open(DEMO / "model.safetensors", framework="pt") as weights:
        names = list(weights.keys())
        assert weights.get_tensor(names[0]).dtype == torch.float16
    assert not any(name.startswith("language_model.") for name in names)


def test_it_names_colours_far_above_chance(demo: VideoLLM, tmp_path: Path) -> None:
    right, asked = 0, 0
    for index in range(NUM_CLIPS):
        scene = make_scene("test_iid", index, 7)
        path = tmp_path / f"{index}.mp4"
        write_clip(render_frames(scene, size=128, num_frames=32), path, fps=8)
        for question in make_questions(scene, "test_iid", count=2, seed=1, families=["colour"]):
            answer = demo.ask(path, question.question, max_new_tokens=8).answer
            right += exact_match(answer, question.answer, question.aliases)
            asked += 1
    assert asked >= NUM_CLIPS
    assert right / asked >= 0.5, f"{right} of {asked}; chance is about 1 in 8"


def test_it_answers_about_real_clips(demo: VideoLLM, shared: Path) -> None:
    for name in (
        "debian__mov.mov",
        "debian__webm.webm",
        "debian__flv.flv",
        "imageio__realshort.mp4",
    ):
        answer = demo.ask(shared / "videos" / name, "What is there?", max_new_tokens=8)
        assert len(answer.frames) == 16
        assert answer.visual_tokens == 8 * 16
