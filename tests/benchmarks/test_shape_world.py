"""The benchmark of the shape world, in its smallest form."""

import json
from pathlib import Path

from benchmarks import shape_world


def test_it_writes_rates_tables_and_the_oracle(tmp_path: Path) -> None:
    words = ["--clips", "2", "--train", "10", "--val", "5", "--oracle", "2"]
    shape_world.main([*words, "--output", str(tmp_path)])
    results = json.loads((tmp_path / "shape_world.json").read_text())
    assert results["drawing"]["shapes"]["clips_per_second"] > 0
    assert 0 <= results["blind"]["wording"]["overall"] <= 1
    shares = [family["share"] for family in results["blind"]["text"]["families"].values()]
    assert abs(sum(shares) - 1) < 0.02
    assert all(score["right"] == score["asked"] for score in results["oracle"].values())
