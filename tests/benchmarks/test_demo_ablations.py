"""The ablations' runs: each once, after what it needs, and told apart by what was changed."""

import json
from pathlib import Path

from benchmarks import demo_ablations
from benchmarks.demo_ablations import VARIANTS, ablation_table, evaluation, jobs_of, stages


def test_common_stages_are_made_once_and_no_two_variants_share_their_last(tmp_path: Path) -> None:
    jobs = jobs_of(list(VARIANTS), tmp_path)
    names = [job.name for job in jobs]
    assert len(set(names)) == len(names)
    assert len({evaluation(name, tmp_path).name for name in VARIANTS}) == len(VARIANTS)
    assert sum(name.startswith("pretrain/") for name in names) == 4
    for place, job in enumerate(jobs):
        assert set(job.needs) <= set(names[:place])
    first = stages("no pretraining, encoder tuned with the LoRA", tmp_path)[0]
    assert first.needs == ()
    assert first.arguments[-2:] == ("--encoder", "demo")


def test_one_thing_is_changed(tmp_path: Path) -> None:
    plain = stages("as released", tmp_path)
    low_rank = stages("LoRA of rank 4", tmp_path)
    assert plain[:2] == low_rank[:2]
    added = [word for word in low_rank[2].arguments if word not in plain[2].arguments]
    assert added[-4:] == ["--lora_rank", "4", "--lora_alpha", "8"]


def test_what_is_on_record_is_shown_and_not_made_again(tmp_path: Path) -> None:
    scores = {"overall": 0.5, "interval": [0.45, 0.55], "families": {"colour": 0.75}}
    record = tmp_path / "record.json"
    record.write_text(json.dumps(dict.fromkeys(VARIANTS, scores)))
    page = tmp_path / "page.md"
    words = ["--work", str(tmp_path / "work"), "--record", str(record), "--page", str(page)]
    assert demo_ablations.main(words) == 0
    assert "| pattern M | 50.0 (45.0 to 55.0) | 75 | - |" in page.read_text()
    assert len(ablation_table({"pattern T": scores}).splitlines()) == 3
