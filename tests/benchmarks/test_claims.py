"""The study's runs come in order, once, and its tables are their results."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import claims
from benchmarks.claims_jobs import Job, JobError, run_jobs
from benchmarks.claims_record import SCORED, Record, still_needed
from benchmarks.claims_report import write_report
from benchmarks.claims_surv import NUM_FOLDS, write_folds
from videollm.encoder import VideoMAPModel, demo_config


def job(work: Path, name: str, *needs: str, fails: bool = False) -> Job:
    """Return a run that notes its start in a file of all."""
    steps = [
        "import pathlib, sys",
        f"open({str(work / 'order.txt')!r}, 'a').write({name!r} + ' ')",
        f"sys.exit('it broke') if {fails} else None",
        f"folder = pathlib.Path({str(work / name)!r}); folder.mkdir(parents=True)",
        "(folder / 'done').write_text('')",
    ]
    return Job(
        name=name, module="timeit", arguments=("-n1", "-r1", *steps), needs=needs, result="done"
    )


def test_runs_start_after_what_they_need_and_are_not_repeated(tmp_path: Path) -> None:
    jobs = [job(tmp_path, "c", "b"), job(tmp_path, "b", "a"), job(tmp_path, "a")]
    run_jobs(jobs, tmp_path, workers=2)
    assert (tmp_path / "order.txt").read_text().split() == ["a", "b", "c"]
    (tmp_path / "b" / "done").unlink()
    (tmp_path / "b").rmdir()
    run_jobs(jobs, tmp_path, workers=2)
    assert (tmp_path / "order.txt").read_text().split() == ["a", "b", "c", "b"]


def test_a_failure_ends_the_study_and_names_the_run(tmp_path: Path) -> None:
    jobs = [job(tmp_path, "a", fails=True), job(tmp_path, "b", "a")]
    with pytest.raises(JobError, match=r"a ended with code 1: SystemExit: it broke; see .*a\.log"):
        run_jobs(jobs, tmp_path, workers=1)
    assert (tmp_path / "order.txt").read_text().split() == ["a"]
    with pytest.raises(JobError, match="b needs elsewhere"):
        run_jobs([job(tmp_path, "b", "elsewhere")], tmp_path, workers=1)


def test_layer_patterns_have_equal_parameters() -> None:
    base = {"hidden_size": 96, "num_attention_heads": 3, "state_size": 8}
    sizes = {
        name: sum(
            item.numel() for item in VideoMAPModel(demo_config(**{**base, **extra})).parameters()
        )
        for name, extra in claims.PATTERNS.items()
    }
    assert max(sizes.values()) < 1.02 * min(sizes.values())


def test_every_setting_has_all_its_runs(tmp_path: Path) -> None:
    jobs = claims.toy_jobs(claims.FULL, tmp_path)
    names = Counter(item.name for item in jobs)
    assert max(names.values()) == 1
    assert sum(name.startswith("pretrain/") for name in names) == 5 * 3
    assert sum(name.startswith("labels/") for name in names) == 2 * 3 * 3
    assert sum(name.startswith("short/") for name in names) == (2 + 4) * 3
    assert sum(name.startswith("pattern/") for name in names) == 4 * 3
    assert all(need in names for item in jobs for need in item.needs)


def test_folds_hold_every_clip_once_and_are_balanced(tmp_path: Path) -> None:
    clips = {
        name: [tmp_path / name / f"{k}.mp4" for k in range(20)] for name in ("fight", "noFight")
    }
    others = [tmp_path / "other.mp4"]
    write_folds(tmp_path / "lists", clips, others)
    tested: list[str] = []
    for fold in range(NUM_FOLDS):
        test = (tmp_path / "lists" / f"test-{fold}.csv").read_text().split()
        train = (tmp_path / "lists" / f"train-{fold}.csv").read_text().split()
        pretrain = (tmp_path / "lists" / f"pretrain-{fold}.txt").read_text().split()
        assert Counter(line.rpartition(",")[2] for line in test) == {"fight": 4, "noFight": 4}
        assert not set(test) & set(train)
        assert {line.rpartition(",")[0] for line in train} | {str(others[0])} == set(pretrain)
        tested += test
    assert len(set(tested)) == len(tested) == 40


def scored(work: Path, name: str, *arguments: str, needs: tuple[str, ...] = ()) -> Job:
    """Return a run that has left its scores in the work folder."""
    folder = work / name / "test"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text('{"scores": {"top1": 0.5}, "num_videos": 8}')
    return Job(name=name, module="none", arguments=arguments, needs=needs, result=SCORED)


def test_what_is_on_record_is_not_run_again_nor_what_only_it_needs(tmp_path: Path) -> None:
    work = tmp_path / "work"
    first = Job(name="pretrain/a", module="none", arguments=(), result="encoder")
    other = Job(name="pretrain/b", module="none", arguments=(), result="encoder")
    one = scored(work, "labels/a/5/0", str(work / "x"), needs=("pretrain/a",))
    two = scored(work, "labels/b/5/0", "--steps", "3", needs=("pretrain/b",))
    jobs = [first, other, one, two]
    record = Record(tmp_path / "record.json", jobs, work)
    assert still_needed(jobs, record) == jobs
    record.add(first)
    record.add(one)
    elsewhere = tmp_path / "elsewhere"
    moved = [first, other, replace(one, arguments=(str(elsewhere / "x"),)), two]
    again = Record(tmp_path / "record.json", moved, elsewhere)
    assert again.runs == record.runs
    assert list(again.runs) == ["labels/a/5/0"]
    assert still_needed(moved, again) == [other, two]
    changed = [first, replace(one, arguments=("--steps", "4"))]
    assert still_needed(changed, Record(record.path, changed, work)) == changed


def test_a_run_is_made_again_when_a_recipe_it_rests_on_has_changed(tmp_path: Path) -> None:
    recipe = tmp_path / "pretrain.yaml"
    recipe.write_text("max_steps: 1\n")
    first = Job(name="pretrain/a", module="none", arguments=(str(recipe),), result="encoder")
    one = scored(tmp_path, "labels/a/5/0", needs=("pretrain/a",))
    record = Record(tmp_path / "record.json", [first, one], tmp_path)
    record.add(one)
    assert still_needed([first, one], record) == []
    recipe.write_text("max_steps: 2\n")
    again = Record(tmp_path / "record.json", [first, one], tmp_path)
    assert still_needed([first, one], again) == [first, one]


def test_tables_hold_means_and_spreads_and_leave_the_prose(tmp_path: Path) -> None:
    top1 = {("none", 0): 0.25, ("none", 1): 0.35, ("frame", 0): 0.5, ("frame", 1): 0.5}
    steps = ("--max_steps", "30")
    jobs = {key: scored(tmp_path, f"labels/{key[0]}/5/{key[1]}", *steps) for key in top1}
    record = Record(tmp_path / "record.json", list(jobs.values()), tmp_path)
    for key, value in top1.items():
        results = {"scores": {"top1": value}, "num_videos": 8}
        (tmp_path / jobs[key].name / SCORED).write_text(json.dumps(results))
        record.add(jobs[key])
    page = tmp_path / "page.md"
    page.write_text("# Study\n\n<!-- objectives -->\nold\n<!-- end of objectives -->\n\nProse.\n")
    write_report(record.runs, page)
    text = page.read_text()
    assert "| from scratch | 30.0 ± 7.1 (2) |" in text
    assert "| autoregression by frame | 50.0 ± 0.0 (2) |" in text
    assert text.startswith(
        "# Study\n\n<!-- objectives -->\n| pretraining | 5 % of labels, 30 steps |"
    )
    assert "old" not in text
    assert "\n\nProse.\n" in text
    assert (tmp_path / "page.png").stat().st_size > 1000
