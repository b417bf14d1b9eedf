"""The shape world as data: at any frame rate, in talks of several turns, from its own recipes."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from tests.train.runs import encoder_with, losses, refusal, run
from videollm.encoder import demo_config
from videollm.llm import load_tokenizer
from videollm.shapeworld import render_frames
from videollm.shapeworld.vocabulary import DIRECTIONS
from videollm.train import general_answers
from videollm.train.arguments import DataArguments, PretrainArguments
from videollm.train.general_prompts import general_prompts
from videollm.train.masks import MaskDrawer
from videollm.train.motion_clips import MotionClips
from videollm.train.pretrain_batches import PretrainBatches
from videollm.train.scene_targets import region_vocabulary, scene_targets, target_size
from videollm.train.toyworld_data import SceneCollator, ToyWorldScenes, WordCollator, draw_times
from videollm.train.toyworld_dialogues import ToyWorldDialogues
from videollm.worlds import WORLDS, find_world

ENCODER = demo_config(image_size=32, patch_size=8)
SHAPES = WORLDS["shapes"]
SCENES = ToyWorldScenes("train", 100, 0, world=SHAPES)
RECIPES = Path(__file__).resolve().parents[2] / "train" / "recipes"


def collator(**options: object) -> SceneCollator:
    return SceneCollator(
        encoder=ENCODER,
        objective=PretrainArguments(teacher="scene"),
        num_frames=8,
        seed=3,
        batches=PretrainBatches(encoder=ENCODER, masks=MaskDrawer(keep_ratios=(0.5,), seed=3)),
        world=SHAPES,
        **options,
    )


def test_same_indices_give_the_same_batch_whatever_the_rates() -> None:
    for rates in ((), (2.0, 16.0)):
        batches = [collator(frame_rates=rates)([SCENES[4], SCENES[9]]) for _ in range(2)]
        for name, value in batches[0].items():
            assert torch.equal(value, batches[1][name])
        assert batches[0]["targets"].shape == (2, 4, 16, target_size(SHAPES))
    words = WordCollator(
        encoder=ENCODER, tokens_per_frame=4, num_frames=8, world=SHAPES, frame_rates=(2.0, 4.0)
    )([SCENES[4], SCENES[9]])
    assert words["words"].shape == (2, 4, 4, len(region_vocabulary(SHAPES)))


def test_a_window_has_its_rate_and_lies_in_the_clip() -> None:
    for index in range(20):
        scene = SCENES[index]
        for rate, share in ((16.0, 0.0), (4.0, 1.0), (2.0, 0.5), (None, 0.5)):
            times = draw_times(scene, SHAPES, num_frames=8, rate=rate, share=share)
            assert len(times) == 8
            assert times[0] >= 0
            assert times[-1] < SHAPES.length(scene)
            step = np.diff(times)
            wanted = SHAPES.length(scene) / 8 if rate is None else 1 / rate
            assert np.allclose(step, min(wanted, SHAPES.length(scene) / 8))


def test_some_clips_look_compressed_the_same_ones_always() -> None:
    plain, share = collator(), collator(artefacts=0.5)
    changed = 0
    for index in range(12):
        (one,), (other,) = (make([SCENES[index]])["pixel_values"] for make in (plain, share))
        assert torch.equal(other, share([SCENES[index], SCENES[0]])["pixel_values"][0])
        changed += not torch.equal(one, other)
        # Edges blur and colours bleed, but nothing gets lost.
        assert (one - other).abs().mean() < 0.12
    assert 2 <= changed <= 10
    clips = [dialogues(artefacts=1.0)[3].videos[0] for _ in range(2)]
    assert torch.equal(clips[0].frames, clips[1].frames)
    assert not torch.equal(clips[0].frames, dialogues()[3].videos[0].frames)


def test_targets_are_causal_across_cuts() -> None:
    for index in range(12):
        scene = SCENES[index]
        times = SHAPES.times(scene, 8)
        whole, _ = scene_targets(scene, times, grid=4, tubelet=2, world=SHAPES)
        part, _ = scene_targets(scene, times[:4], grid=4, tubelet=2, world=SHAPES)
        assert torch.equal(whole[:2], part)
        torch.testing.assert_close(whole.norm(dim=-1), torch.ones(whole.shape[:-1]))


def dialogues(**options: object) -> ToyWorldDialogues:
    sizes = {"image_size": 32, "num_frames": 8, "questions": 6, "num_clips": 40, "seed": 0}
    return ToyWorldDialogues("train", **{**sizes, "world": SHAPES, **options})


def test_clips_have_eight_to_sixty_four_frames_at_the_rates_given() -> None:
    data = dialogues(frame_rates=(2.0, 4.0, 16.0), frame_multiple=2, questions=1)
    counts = set()
    for index in range(20):
        clip = data[index].videos[0]
        assert len(clip) % 2 == 0
        counts.add(len(clip))
        assert torch.equal(clip.pts_seconds, data[index].videos[0].pts_seconds)
    assert min(counts) >= 8
    assert max(counts) <= 64
    assert len(counts) > 4


def test_talks_have_several_turns_as_often_as_asked() -> None:
    turns = Counter(
        len(dialogue) // 2
        for index in range(40)
        for dialogue in dialogues(talk_fraction=0.15, num_frames=2)[index].dialogues
    )
    assert 0.12 < 1 - turns[1] / turns.total() < 0.4
    alone = dialogues(families=("colour",), num_frames=2)[0]
    assert all(len(dialogue) == 2 for dialogue in alone.dialogues)


def test_clips_of_another_kind_are_all_answered_alike() -> None:
    data = dialogues(world=WORLDS["foreign"], questions=2, num_frames=2)
    answers = {talk[1]["content"] for index in range(5) for talk in data[index].dialogues}
    assert len(answers) == 1
    assert answers.pop().startswith("This does not look like the scenes I was trained on")


def test_every_recipe_of_the_world_runs(tmp_path: Path, tiny_llm: Path) -> None:
    short = ["--max_steps", "2", "--save_steps", "2", "--logging_steps", "1"]
    short += ["--num_frames", "8", "--per_device_train_batch_size", "2"]
    pretrain = run(
        "pretrain", "shapes_pretrain", tmp_path / "pretrain", *short, *encoder_with(patch_size=8)
    )
    align = run(
        "align",
        "shapes_align",
        tmp_path / "align",
        *short,
        *["--encoder", str(pretrain / "encoder"), "--language_model", str(tiny_llm)],
        *["--tokens_per_frame", "4"],
    )
    text = tmp_path / "general.jsonl"
    talk = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi."}]
    text.write_text(json.dumps({"messages": talk}) + "\n")
    recipe = yaml.safe_load((RECIPES / "shapes_instruct.yaml").read_text())
    mixture = {
        name: {**member, **({"data_path": str(text)} if "data_path" in member else {})}
        for name, member in recipe["mixture"].items()
    }
    small = [*short, "--lora_rank", "2"]
    accounts = run(
        "instruct", "shapes_accounts", tmp_path / "accounts", *small, "--model", str(align)
    )
    instruct = run(
        "instruct",
        "shapes_instruct",
        tmp_path / "instruct",
        *small,
        *["--model", str(accounts), "--mixture", json.dumps(mixture)],
    )
    for folder in (pretrain, align, accounts, instruct):
        assert np.isfinite(list(losses(folder).values())).all()


def test_what_does_not_fit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rates = ["--frame_rates", "2.0"]
    line = refusal(capsys, "pretrain", "demo_pretrain", tmp_path / "a", *rates)
    assert "frame_rates: only world: shapes has them" in line
    with pytest.raises(ValueError, match="1 to 30 frames a second allowed"):
        DataArguments(world="shapes", frame_rates=[99.0])
    foreign = {"a": {"world": "foreign", "frame_rates": "2"}}
    line = refusal(
        capsys, "instruct", "shapes_instruct", tmp_path / "b", "--mixture", json.dumps(foreign)
    )
    assert "mixture: a: frame_rates: '2' given, a list of frames a second" in line
    with pytest.raises(ValueError, match="no world 'toys': choose one of toy, shapes, foreign"):
        find_world("toys")
    with pytest.raises(ValueError, match="world foreign: it is only for talks and for evaluation"):
        WORLDS["foreign"].coverage(None, np.zeros(1), 8)


def test_general_answers_are_the_models_own_and_whole(
    tmp_path: Path, tiny_llm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = load_tokenizer(str(tiny_llm))
    said = tokenizer("Yes.", add_special_tokens=False)["input_ids"]

    def generate(input_ids: Tensor, **_: object) -> Tensor:
        ended, cut = [*said, tokenizer.eos_token_id], [*said, said[0]]
        return torch.cat([input_ids, torch.tensor([ended, cut])], dim=1)

    model = SimpleNamespace(generate=generate)
    monkeypatch.setattr(general_answers, "load_language_model", lambda *_, **__: model)
    path = tmp_path / "deep" / "general.jsonl"
    words = ["--output", str(path), "--language_model", str(tiny_llm), "--limit", "2"]
    assert general_answers.main(words) == 0
    (line,) = path.read_text().splitlines()
    messages = json.loads(line)["messages"]
    assert messages[0]["content"] == general_prompts()[0]
    assert messages[1]["content"] == "Yes."
    monkeypatch.setattr(general_answers, "write_answers", None)
    assert general_answers.main(words) == 0
    assert path.read_text().splitlines() == [line]


def test_there_are_many_general_prompts() -> None:
    assert len(general_prompts()) == len(set(general_prompts())) >= 200


def test_fewer_objects_are_those_of_the_first_shot() -> None:
    few = ToyWorldScenes("train", 100, 0, max_objects=1, world=SHAPES)
    for index in range(100):
        whole, alone = SCENES[index], few[index]
        assert alone.objects == whole.objects[:1]
        assert alone.shots == whole.shots[:1]
        assert alone.seconds == whole.shots[0].end_seconds
        times = SHAPES.times(alone, 4)
        drawn, expected = (
            render_frames(replace(whole, objects=alone.objects), times=times).frames,
            render_frames(alone, times=times).frames,
        )
        assert torch.equal(drawn, expected)


def test_motions_are_told_apart_by_where_the_object_goes() -> None:
    clips = MotionClips(SHAPES, "val", 60, seed=0, num_frames=8, size=32)
    assert set(clips.labels) == set(range(len(SHAPES.motions)))
    for index, label in zip(clips.indices, clips.labels, strict=True):
        scene = SHAPES.keep_objects(SHAPES.make_scene("val", index, 0), 1)
        places = scene.objects[0].positions(SHAPES.times(scene, 8))
        way = places[-1] - places[0]
        step = np.array(DIRECTIONS[SHAPES.motions[label]])
        assert np.linalg.norm(way) > 0.1
        assert way == pytest.approx(step * np.linalg.norm(way), abs=1e-6)
