"""The check by SIGKILL, once, on a tiny model."""

from pathlib import Path

import pytest

from benchmarks import kill_resume


@pytest.mark.slow
def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path: Path, tiny_llm: Path) -> None:
    options = ["tiny_instruct", "--save_steps", "1", "--language_model", str(tiny_llm)]
    results = kill_resume.compare(tmp_path, options, max_steps=20, kills=1, seed=0)
    assert results["equal"], results
    assert len(results["losses"]) == 20
    assert len(results["last_step_before_each_kill"]) == 1
