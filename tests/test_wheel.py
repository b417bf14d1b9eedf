"""The wheel: what it holds, and that it answers a question without the checkout."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from videollm.toyworld import make_questions, make_scene, render_frames, write_clip

ROOT = Path(__file__).resolve().parents[1]
LINKED = ("encoder", "train", "eval", "serve")
EXTRAS = ("datasets", "fastapi", "gradio", "matplotlib", "uvicorn")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the unpacked wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder)]
    done = subprocess.run([*build, str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def test_it_holds_everything_and_only_our_namespace(unpacked: Path) -> None:
    tops = {path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == {"videollm"}
    own = [path for path in (ROOT / "videollm").glob("*.py")]
    for name in LINKED:
        own += (ROOT / name).rglob("*.py")
    own += [*(ROOT / "train/recipes").rglob("*.yaml"), *(ROOT / "encoder/csrc").glob("*")]
    own += [*(ROOT / "eval/specs").glob("*.yaml"), ROOT / "eval/report.css"]
    own += (path for path in (ROOT / "checkpoints/demo").rglob("*") if path.is_file())
    (entry_points,) = unpacked.glob("*.dist-info/entry_points.txt")
    assert "[lmms_eval.models]" in entry_points.read_text()
    for path in own:
        inside = path.relative_to(ROOT)
        expected = inside if inside.parts[0] == "videollm" else Path("videollm") / inside
        assert (unpacked / expected).is_file(), expected


def test_it_answers_a_question_without_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    scene = make_scene("test_iid", 0, 0)
    write_clip(render_frames(scene, size=128, num_frames=32), tmp_path / "clip.mp4", fps=8)
    (question,) = make_questions(scene, "test_iid", count=1, seed=0)
    script = (
        "import json, sys\n"
        f"for name in {EXTRAS!r}:\n"
        "    sys.modules[name] = None\n"
        "from videollm.cli import main\n"
        f"sys.exit(main(['ask', 'clip.mp4', {question.question!r}, '--json']))"
    )
    environment = {**os.environ, "PYTHONPATH": str(unpacked), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["answer"]
    assert record["model"] == "demo"
    assert record["visual_tokens"] == 8 * 16
