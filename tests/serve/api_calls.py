"""What a client of the API sends."""

import base64
from pathlib import Path
from typing import Any

import pytest

openai = pytest.importorskip("openai", reason="openai is not installed (pip install openai)")

LIMIT = 256 * 1024
"""Bytes that a client of the API may upload in tests."""


def connect(address: str, key: str = "any") -> "openai.OpenAI":
    return openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)


def data_url(path: Path, kind: str = "video/mp4") -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def about(url: str, text: str, kind: str = "video_url") -> dict[str, Any]:
    content = [{"type": kind, kind: {"url": url}}, {"type": "text", "text": text}]
    return {"role": "user", "content": content}
