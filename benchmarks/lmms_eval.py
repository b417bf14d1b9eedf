"""The same model on the same questions in two harnesses: lmms-eval and ours must agree.

Run by `scripts/check_lmms_eval.sh` in an environment that has lmms-eval. Questions of the toy world
over real files are asked by our runner, then by lmms-eval's own command through its chat and
its simple interface. Outputs must be equal to the letter, and so must scores.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, save
from videollm.eval import EvalSettings, evaluate
from videollm.eval.own_questions import read_own_questions
from videollm.eval.run import AnswerBar
from videollm.runtime import package_version
from videollm.toyworld import write_split

__all__ = ["compare_harnesses", "main"]

_TASK = """\
task: toyworld_files
dataset_path: json
dataset_kwargs: {data_files: {test: "%s"}}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.doc_to_visual
doc_to_text: !function utils.doc_to_text
doc_to_target: "answer"
process_results: !function utils.process_results
generation_kwargs: {max_new_tokens: 32, temperature: 0, do_sample: false}
metric_list: [{metric: right, aggregation: mean, higher_is_better: true}]
"""
_RULES = '''\
"""How lmms-eval shows, asks and scores one question of the file."""

from videollm.eval.metrics import score_short_answer
from videollm.eval.task import Example


def doc_to_visual(doc):
    return [doc["video"]]


def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    return doc["prompt"]


def process_results(doc, results):
    example = Example(
        id=doc["id"], family="", video=doc["video"], question=doc["prompt"], answer=doc["answer"],
        aliases=tuple(doc["aliases"]), choices=tuple(doc["choices"]),
    )
    return {"right": float(bool(score_short_answer(results[0], example).correct))}
'''


def compare_harnesses(model: str, num_items: int, batch_size: int, folder: Path) -> dict[str, Any]:
    """Return how many outputs of each interface of lmms-eval equal ours, and all scores.

    Args:
        model: Name or folder of the model.
        num_items: Questions.
        batch_size: Questions at once, in both.
        folder: Where clips and outputs go.
    """
    questions = _write_questions(num_items, folder)
    settings = EvalSettings(
        model=model, tasks=(str(questions),), baselines=(), batch_size=batch_size,
        device="cpu", dtype="float32",
    )  # fmt: skip
    with AnswerBar() as bar:
        path, results = evaluate(settings, folder / "ours", progress=bar)
    assert results is not None, "it is no shard"
    lines = (path / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    ours = {line["id"]: line["output"] for line in map(json.loads, lines)}
    score = results["tasks"]["questions"]["conditions"]["model"]["overall"]["accuracy"]
    record: dict[str, Any] = {"num_items": len(ours), "ours": score}
    for interface in ("chat", "simple"):
        theirs, their_score = _ask_lmms_eval(model, interface, batch_size, folder)
        equal = sum(theirs[name] == output for name, output in ours.items())
        record[interface] = {"equal_outputs": equal, "score": their_score}
    return record


def _write_questions(num_items: int, folder: Path) -> Path:
    """Write clips, our file of questions, and the same for lmms-eval with a task around it."""
    summary = write_split("test_iid", -(-num_items // 4), 0, folder / "clips")
    lines = (summary.folder / "qa.jsonl").read_text(encoding="utf-8").splitlines()[:num_items]
    path = summary.folder / "questions.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "task").mkdir()
    docs = [
        {
            "id": one.id,
            "video": str(summary.folder / one.video),
            "prompt": one.question,
            "answer": one.answer,
            "aliases": list(one.aliases),
            "choices": list(one.choices),
        }
        for one in read_own_questions(path)
    ]
    data = folder / "task" / "docs.json"
    data.write_text(json.dumps(docs), encoding="utf-8")
    (folder / "task" / "toyworld_files.yaml").write_text(_TASK % data, encoding="utf-8")
    (folder / "task" / "utils.py").write_text(_RULES, encoding="utf-8")
    return path


def _ask_lmms_eval(
    model: str, interface: str, batch_size: int, folder: Path
) -> tuple[dict[str, str], float]:
    output = folder / interface
    command = [
        sys.executable, "-m", "lmms_eval", "--model", "videollm",
        "--model_args", f"pretrained={model},device=cpu,dtype=float32",
        "--tasks", "toyworld_files", "--include_path", str(folder / "task"),
        "--batch_size", str(batch_size), "--log_samples", "--output_path", str(output),
        *(["--force_simple"] if interface == "simple" else []),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    (samples,) = output.rglob("*samples_toyworld_files.jsonl")
    lines = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    docs = json.loads((folder / "task" / "docs.json").read_text(encoding="utf-8"))
    said = {docs[line["doc_id"]]["id"]: _text(line["filtered_resps"]) for line in lines}
    (results,) = output.rglob("*_results.json")
    scores = json.loads(results.read_text(encoding="utf-8"))["results"]["toyworld_files"]
    return said, next(value for name, value in scores.items() if name.startswith("right,"))


def _text(responses: str | list[str]) -> str:
    """Return the one output of a sample, which lmms-eval writes with or without a list."""
    return responses if isinstance(responses, str) else responses[0]


def main() -> int:
    """Run the comparison and return 0 where the harnesses agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="videollm-lmms-") as folder:
        record = compare_harnesses(
            arguments.model, arguments.items, arguments.batch_size, Path(folder)
        )
    record["lmms_eval"] = package_version("lmms-eval")
    print(json.dumps(record, indent=2))
    save(arguments.output, "lmms_eval", record, ["benchmarks.lmms_eval", *sys.argv[1:]])
    agree = all(
        record[interface]["equal_outputs"] == record["num_items"]
        and record[interface]["score"] == record["ours"]
        for interface in ("chat", "simple")
    )
    return 0 if agree else 1


if __name__ == "__main__":
    raise SystemExit(main())
