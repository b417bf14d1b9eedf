"""What a recipe says of data with text, and what it may not say."""

from pathlib import Path
from typing import Any

import pytest

from videollm.errors import RecipeError
from videollm.train.dialogue_arguments import DialogueArguments


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"mixture": {"a": {"data_paht": "x"}}}, "a: unknown key 'data_paht'; .*'data_path'"),
        ({"mixture": {"a": "x.json"}}, "mixture: a: 'x.json' given; write keys"),
        ({"mixture": {"a": {"data_path": "x", "num_clips": 3}}}, "num_clips: not a key of llava"),
        ({"mixture": {"a": {"media_folder": "x"}}}, "media_folder: not a key of toyworld"),
        ({"mixture": {"a": {"dataset": "llava"}}}, "a: llava needs data_path"),
        ({"mixture": {"a": {"dataset": "videos"}}}, "dataset: 'videos' given, llava, pairs"),
        ({"mixture": {"a": {"weight": 0}}}, "a: weight: 0 given, a number above 0 allowed"),
        ({"mixture": {"a": {"repeat": 1.5}}}, "a: repeat: 1.5 given, 1 or more allowed"),
        ({"mixture": {"a": {"sampling": "last:3"}}}, "a: sampling: 'last:3' given; all, first:N"),
        ({"mixture": {"a": {}}, "data_path": ["x"]}, "mixture and dataset or data_path are both"),
        ({"mixture": {"a": {"data_path": 5}}}, "a: data_path: 5 given, a path or a list"),
        ({"mixture": {"a": {"families": [1]}}}, r"a: families: \[1\] given, a list of names"),
        ({"mixture": {"a": {"num_clips": True}}}, "a: num_clips: True given, 1 or more"),
        ({"mixture": {"a": {"choice_fraction": 2}}}, "a: choice_fraction: 2 given, 0 to 1"),
        ({"mixture": {"a": {"sampling": 3}}}, "a: sampling: 3 given, a text"),
        ({"mixture": {"a": {}}, "dataset": "videos"}, "mixture and dataset or data_path are both"),
        ({"mixture": "gone.yaml"}, "mixture: .*No such file.*give a YAML file"),
        ({"mixture": "x.json"}, "mixture: 'x.json' is not JSON"),
        ({"temperature": 0.0}, "temperature: 0.0 given, above 0"),
        ({"fps": 0.0}, "fps: 0.0 given, above 0"),
        ({"max_frames": 0}, "max_frames: 0 given"),
        ({"max_visual_tokens": -1}, "max_visual_tokens: -1 given"),
    ],
)  # fmt: skip
def test_a_wrong_mixture_is_refused(fields: dict[str, Any], match: str) -> None:
    with pytest.raises(RecipeError, match=match):
        DialogueArguments(**fields)


def test_a_mixture_may_be_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mix.yaml"
    path.write_text(
        "datasets:\n- json_path: a.json\n  sampling_strategy: first:10%\n- {json_path: b}\n"
    )
    first, second = DialogueArguments(mixture=str(path)).members.values()
    assert (first.data_path, first.sampling) == (["a.json"], "first:10%")
    assert second.sampling == "all"
