"""Published benchmarks as data: every shared file parses whole, and asks what it should ask."""

import json
from pathlib import Path

import pytest

from videollm.errors import DataError, RequestError
from videollm.eval.benchmarks import BENCHMARKS, find_benchmark
from videollm.eval.check import check_tasks
from videollm.eval.settings import EvalSettings
from videollm.eval.spec_examples import SpecItems, build_items, part_name, split_part
from videollm.eval.spec_file import packaged_specs, read_spec

GOLDEN = Path(__file__).with_name("golden_prompts.json")

# Records in the files, as `len` of their JSON, lines of their CSV, rows of their Parquet say.
COUNTS = {
    ("activitynet_qa", "test"): (8000, 0),
    ("egoschema", "subset"): (500, 0),
    ("longvideobench", "val"): (1337, 0),
    ("longvideobench_parquet", "val"): (1337, 0),
    ("longvideobench_subtitles", "val"): (1337, 0),
    ("mlvu", "dev"): (2175, 5),
    ("mvbench", "test"): (4000, 0),
    ("nextqa_mc", "test"): (8564, 0),
    ("nextqa_mc", "val"): (4996, 0),
    ("videomme", "test"): (2700, 0),
    ("videomme_subtitles", "test"): (2700, 0),
}
SPECS = {name: read_spec(path) for name, path in packaged_specs().items()}


@pytest.fixture(scope="session")
def annotations(shared: Path) -> Path:
    """Return the folder of real annotation files."""
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow (pip install 'videollm[eval]')")
    return shared / "annotations"


@pytest.fixture(scope="session")
def items(annotations: Path) -> dict[tuple[str, str], SpecItems]:
    """Return the items of every split whose files are there."""
    return {
        (name, split): build_items(SPECS[name], SPECS[name].splits[split], annotations)
        for name, split in COUNTS
    }


def test_counts_are_those_of_the_files(items: dict[tuple[str, str], SpecItems]) -> None:
    assert {key: (one.num_records, len(one.flaws)) for key, one in items.items()} == COUNTS


def test_counts_stand_in_the_files_themselves(annotations: Path) -> None:
    """Count without our readers."""
    mvbench = [json.loads(path.read_text()) for path in (annotations / "mvbench").glob("*.json")]
    assert [len(records) for records in mvbench] == [200] * 20
    mlvu = [json.loads(path.read_text()) for path in (annotations / "mlvu").glob("*.json")]
    assert sum(map(len, mlvu)) == COUNTS["mlvu", "dev"][0]
    assert len(json.loads((annotations / "activitynet_qa/test_q.json").read_text())) == 8000


def test_three_items_of_each_are_asked_as_recorded(
    items: dict[tuple[str, str], SpecItems],
) -> None:
    """The first, the middle and the last; a wording changed by accident changes every score."""
    rendered = {
        f"{name} {split}": [
            {
                "id": one.id,
                "video": one.video,
                "prompt": one.question,
                "answer": one.answer,
                "aliases": list(one.aliases),
            }
            for one in (
                asked.examples[0],
                asked.examples[len(asked.examples) // 2],
                asked.examples[-1],
            )
        ]
        for (name, split), asked in items.items()
    }
    if not GOLDEN.is_file():
        GOLDEN.write_text(json.dumps(rendered, indent=1) + "\n")
    assert rendered == json.loads(GOLDEN.read_text())


def test_every_answer_is_a_choice_and_every_family_is_listed(
    items: dict[tuple[str, str], SpecItems],
) -> None:
    for (name, _), asked in items.items():
        spec = BENCHMARKS[name]
        assert {one.family for one in asked.examples} <= set(spec.families)
        for one in asked.examples:
            assert not one.choices or one.answer in one.choices
            assert spec.score(one.answer, one).correct, (name, one)


def test_two_files_of_one_benchmark_ask_the_same(
    items: dict[tuple[str, str], SpecItems],
) -> None:
    one, other = items["longvideobench", "val"], items["longvideobench_parquet", "val"]
    assert [(e.id, e.question, e.answer) for e in one.examples] == [
        (e.id, e.question, e.answer) for e in other.examples
    ]


def test_egoschema_s_two_files_agree(annotations: Path) -> None:
    public = json.loads((annotations / "egoschema/subset_answers.json").read_text())
    records = json.loads((annotations / "egoschema/EgoSchema_test_qa.json").read_text())
    assert all(public[record["video_id"]] == record["answer"] for record in records)


def test_every_spec_says_whether_it_was_verified() -> None:
    unverified = {name for name, spec in SPECS.items() if spec.unverified}
    verified = {name for name, _ in COUNTS} - {"longvideobench_subtitles"}
    assert unverified == set(SPECS) - verified
    assert all(spec.layout and spec.videos_from for spec in SPECS.values())
    drawn = {"toyworld", "shapeworld", "foreign", "needle", "shape_needle"}
    assert set(BENCHMARKS) == {*drawn, *SPECS}


# One record in each unverified layout, and what must come of it.
LAYOUTS = {
    "charades_sta": (
        "charades_sta/charades_sta_test.txt",
        "3MSZA 24.3 30.4##person turn a light on.\n",
        "24.3 to 30.4 seconds",
    ),
    "msvd_qa": (
        "msvd_qa/test_qa.json",
        [{"id": 1, "video_id": 7, "question": "who sings?", "answer": "man"}],
        "man",
    ),
    "msrvtt_qa": (
        "msrvtt_qa/test_qa.json",
        [{"id": 1, "video_id": 7, "question": "who sings?", "answer": "man"}],
        "man",
    ),
    "perception_test": (
        "perception_test/mc_question_valid.json",
        {
            "video_1": {
                "mc_question": [
                    {
                        "id": 0,
                        "question": "Is it on?",
                        "options": ["yes", "no", "both"],
                        "answer_id": 1,
                        "area": "physics",
                        "reasoning": "descriptive",
                    }
                ]
            }
        },
        "(B) no",
    ),
    "tempcompass_mc": (
        "tempcompass/multi-choice.json",
        {"1": {"action": [{"question": "What?\nA. runs\nB. sits", "answer": "B. sits"}]}},
        "(B) sits",
    ),
    "tempcompass_yes_no": (
        "tempcompass/yes_no.json",
        {"1": {"speed": [{"question": "Is it slow?", "answer": "no"}]}},
        "no",
    ),
    "tempcompass_caption_matching": (
        "tempcompass/caption_matching.json",
        {"1": {"order": [{"question": "Which?\nCaption A: up\nCaption B: down",
                          "answer": "Caption B: down"}]}},
        "(B) down",
    ),
    "tempcompass_captioning": (
        "tempcompass/captioning.json",
        {"1": {"action": [{"question": "Describe it.", "answer": "x",
                           "mc_question": "What?\nA. runs\nB. sits", "mc_answer": "A. runs"}]}},
        "(A) runs",
    ),
    "nextqa_oe": (
        "nextqa_oe/val.csv",
        "video,question,answer,qid,type,additional_ref_answer\n7,why run,to win,3,CW,for fun\n",
        "to win",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_unverified_layouts_are_read(tmp_path: Path, name: str) -> None:
    file, content, answer = LAYOUTS[name]
    path = tmp_path / file
    path.parent.mkdir()
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    (tmp_path / "nextqa").mkdir()
    (tmp_path / "nextqa/map_vid_vidorID.json").write_text('{"7": "0101/7"}')
    split = "val" if name == "nextqa_oe" else None
    task = BENCHMARKS[name].build(EvalSettings(annotations=str(tmp_path), split=split))
    (example,) = task.examples
    assert example.answer == answer
    assert (example.aliases == ("for fun",)) == (name == "nextqa_oe")


def test_layouts_and_real_files_cover_every_spec() -> None:
    assert set(LAYOUTS) | {name for name, _ in COUNTS} == set(SPECS)


def test_parts_of_videos_have_names() -> None:
    for start, end in ((None, None), (1.5, None), (None, 4.0), (0.0, 17.1)):
        assert split_part(part_name("a/b.mp4", start, end)) == ("a/b.mp4", start, end)
    assert part_name("a.mp4", None, None) == "a.mp4"


def write_spec(folder: Path, **changes: object) -> Path:
    fields = {
        "name": "mine",
        "title": "mine",
        "layout": "mine",
        "splits": {"all": {"files": ["mine.csv"]}},
        "video": "{video}",
        "question": "{question}",
        "answer": "{answer}",
        "prompt": "{question}",
        "metric": "exact_match",
    }
    path = folder / "mine.yaml"
    path.write_text(json.dumps({**fields, **changes}))  # JSON is YAML
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metirc": "x"}, "unknown field of .*mine.yaml: 'metirc'; did you mean metric"),
        ({"metric": "exact_mach"}, "unknown metric of mine 'exact_mach'; did you mean exact_match"),
        ({"splits": {}}, "has no splits"),
        ({"answer_index": "{i}"}, "give one of answer, answer_index and answer_letter"),
        ({"average": "all"}, "unknown average of mine.yaml 'all'"),
        ({"extends": "mvbnch"}, "did you mean mvbench"),
        ({"splits": {"all": {}}}, "split all: lacks files"),
    ],
)
def test_a_spec_with_a_mistake_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises((DataError, RequestError), match=message):
        find_benchmark(str(write_spec(tmp_path, **changes)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("video,question\nv.mp4,why\n", "line 2 lacks the field .*answer"),
        ("video,question,answer\nv.mp4,why\n", "line 2 does not have the 3 columns"),
        ("video,question,answer\nv.mp4,why,so,x\n", "line 2 does not have the 3 columns"),
    ],
)
def test_a_malformed_record_is_named_by_its_line(
    tmp_path: Path, content: str, message: str
) -> None:
    spec = find_benchmark(str(write_spec(tmp_path)))
    (tmp_path / "mine.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        spec.build(EvalSettings(annotations=str(tmp_path)))


def test_checking_tells_what_is_missing_before_anything_runs(tmp_path: Path) -> None:
    settings = EvalSettings(
        tasks=("toyworld", "msvd_qa"), annotations=str(tmp_path), videos=str(tmp_path)
    )
    lines, complete = check_tasks(settings)
    assert not complete
    assert any("missing annotations" in line and "test_qa.json" in line for line in lines)
    assert any("unverified" in line for line in lines)
    (tmp_path / "msvd_qa").mkdir()
    record = {"id": 1, "video_id": 7, "question": "who?", "answer": "man"}
    (tmp_path / "msvd_qa/test_qa.json").write_text(json.dumps([record]))
    lines, complete = check_tasks(settings)
    assert not complete
    assert any(line.endswith("msvd_qa/vid7.avi") for line in lines)
    (tmp_path / "msvd_qa/vid7.avi").touch()
    assert check_tasks(settings)[1]
