"""Models on the Hugging Face Hub: fetch a folder by name, push a folder of ours.

Both go through `huggingface_hub`; nothing is sent or asked for unless a name says so.
"""

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from videollm.errors import ModelError
from videollm.model_folder import read_json

__all__ = ["HUB_NAME", "fetch_folder", "push_folder"]

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
_ADAPTER_CONFIG = "adapter_config.json"
# What a folder of ours consists of; checkpoints, logs and whatever else lies beside it stay here.
_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "README.md",
    "adapter_config.json",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "processor_config.json",
    "recipe.yaml",
    "special_tokens_map.json",
    "tokenizer*",
)


def fetch_folder(name: str) -> Path:
    """Return the local folder of a model on the hub, downloaded where it is not in the cache.

    Args:
        name: "owner/model".

    Raises:
        ModelError: There is no such model, or neither the hub nor a cached copy can be had.
    """
    from huggingface_hub import HfApi, snapshot_download

    # Untyped on purpose: the module does not declare its HTTPError, the client library's base.
    errors: Any = importlib.import_module("huggingface_hub.errors")
    patterns = [*_FILES, *(f"adapter/{pattern}" for pattern in _FILES)]
    local_only = False
    try:
        # One short request: a download retries for long without a network.
        HfApi().model_info(name, timeout=10)
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"{name}: no such model: neither a folder here nor a model that the hub shows us; "
            "check the spelling (a private model needs 'hf auth login')"
        ) from error
    except (OSError, errors.HTTPError):
        local_only = True
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=local_only))
    except (OSError, errors.HTTPError) as error:
        raise ModelError(
            f"{name}: no such model: neither a folder here nor in the hub's cache, and the hub "
            "cannot be reached"
        ) from error


def push_folder(
    folder: Path, name: str, *, base: str | None = None, private: bool | None = None
) -> str:
    """Upload a model folder, with the adapter in it, or an adapter folder; return its address.

    Paths of this machine stay behind: an adapter that goes up names its base on the hub.

    Args:
        folder: What instruct, align or merge wrote.
        name: "owner/model" on the hub; made where it is not there.
        base: An adapter folder's base: its hub name.
        private: Whether a new repository is private; None: as the owner's settings say.

    Raises:
        ModelError: The folder is not fit for others, or the hub refuses.
    """
    if not HUB_NAME.fullmatch(name):
        raise ModelError(f"{name}: not a hub name: give owner/model")
    patches = _patches(folder, name, base)
    from huggingface_hub import CommitOperationAdd, HfApi

    errors: Any = importlib.import_module("huggingface_hub.errors")
    operations = [
        CommitOperationAdd(
            path_in_repo=path.relative_to(folder).as_posix(),
            path_or_fileobj=patches.get(path, path),
        )
        for path in _files(folder)
    ]
    api = HfApi(library_name="videollm")
    try:
        address = api.create_repo(name, private=private, exist_ok=True)
        api.create_commit(
            address.repo_id, operations=operations, commit_message=f"Upload {folder.name}"
        )
    except (OSError, ValueError, errors.HTTPError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{name}: the hub did not take it ({reason}): 'hf auth login' signs you in"
        ) from error
    return str(address)


def _files(folder: Path) -> Iterator[Path]:
    for place in (folder, folder / "adapter"):
        found = {path for pattern in _FILES for path in place.glob(pattern) if path.is_file()}
        yield from sorted(found)


def _patches(folder: Path, name: str, base: str | None) -> dict[Path, bytes]:
    """Return the files that go up changed, after checking that others can use the folder."""
    if (folder / _ADAPTER_CONFIG).is_file():
        named = base or str(read_json(folder / _ADAPTER_CONFIG).get("base_model_name_or_path"))
        if not HUB_NAME.fullmatch(named) or Path(named).exists():
            raise ModelError(
                f"{folder}: its base {named!r} is a folder of this machine: push the base too and "
                "name it with --base owner/model, or push the model that 'videollm merge' writes"
            )
        return {folder / _ADAPTER_CONFIG: _renamed(folder / _ADAPTER_CONFIG, named)}
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: no config.json, so no model: give a model or adapter folder")
    text_model = read_json(folder / "config.json").get("text_model")
    if text_model and Path(text_model).expanduser().exists():
        raise ModelError(
            f"{folder}: its language model {text_model} is a folder of this machine: push what "
            "'videollm merge' writes, which holds all weights"
        )
    inner = folder / "adapter" / _ADAPTER_CONFIG
    return {inner: _renamed(inner, name)} if inner.is_file() else {}


def _renamed(path: Path, base: str) -> bytes:
    config = read_json(path) | {"base_model_name_or_path": base}
    return (json.dumps(config, indent=2, sort_keys=True) + "\n").encode()
