"""Bad samples: counted once, over all workers that share the report."""

import json
from pathlib import Path

import pytest

from videollm.errors import DataError
from videollm.train.examples import BAD_SAMPLES_FILE, BadSamples


def test_workers_count_together(tmp_path: Path) -> None:
    first, second = (BadSamples(tmp_path, num_samples=10, max_share=0.2) for _ in range(2))
    first.add("a", "torn")
    second.add("a", "torn")
    second.add("b", "torn")
    second.check()
    first.add("c", "missing")
    with pytest.raises(DataError, match=r"3 of 10 samples .* the first: a: torn"):
        first.check()
    lines = (tmp_path / BAD_SAMPLES_FILE).read_text().splitlines()
    assert [json.loads(line)["sample"] for line in lines] == ["a", "b", "c"]
    assert "b" in first


def test_a_line_that_is_being_written_is_read_later(tmp_path: Path) -> None:
    bad = BadSamples(tmp_path, num_samples=10, max_share=0.2)
    path = tmp_path / BAD_SAMPLES_FILE
    whole = json.dumps({"sample": "other", "reason": "torn"}) + "\n"
    path.write_text(whole[:9])
    bad._read()
    assert "other" not in bad
    path.write_text(whole)
    bad._read()
    assert "other" in bad
