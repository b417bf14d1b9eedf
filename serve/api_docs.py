"""The API's description as a page without scripts, made from its OpenAPI document."""

from collections.abc import Iterator
from html import escape
from typing import Any

__all__ = ["docs_page"]

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:860px;margin:24px auto;padding:0 16px;"
    "color-scheme:light dark}code,pre{font:13px/1.5 ui-monospace,monospace}"
    "pre{overflow-x:auto;padding:10px;border:1px solid #8884;border-radius:8px}"
    "td,th{text-align:left;vertical-align:top;padding:3px 12px 3px 0}"
)

EXAMPLE = """from openai import OpenAI

client = OpenAI(base_url="{address}v1", api_key="any")
answer = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": [
        {{"type": "video_url", "video_url": {{"url": "https://example.org/clip.mp4"}}}},
        {{"type": "text", "text": "What happens?"}},
    ]}}],
)
print(answer.choices[0].message.content)"""


def docs_page(schema: dict[str, Any], *, address: str, model: str) -> str:
    """Return the page.

    Args:
        schema: The OpenAPI document.
        address: Where the server is, with a slash at the end.
        model: The model's name.
    """
    example = escape(EXAMPLE.format(address=address, model=model))
    calls = "".join(_call(schema, *found) for found in _operations(schema))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>videollm API</title><style>{STYLE}</style></head><body><h1>videollm API</h1>"
        '<p>OpenAI\'s clients work unmodified. <a href="/openapi.json">openapi.json</a></p>'
        f"<pre>{example}</pre>{calls}</body></html>"
    )


def _operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _call(schema: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {})
    reference = next(
        (kind["schema"].get("$ref", "") for kind in body.values() if "schema" in kind), ""
    )
    model = schema.get("components", {}).get("schemas", {}).get(reference.rpartition("/")[2], {})
    required = model.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_kind(field))}"
        f"{', required' if name in required else ''}</td>"
        f"<td>{escape(field.get('description', ''))}</td></tr>"
        for name, field in model.get("properties", {}).items()
    )
    title = escape(operation.get("summary", ""))
    return f"<h2><code>{method} {escape(path)}</code></h2><p>{title}</p><table>{rows}</table>"


def _kind(field: dict[str, Any]) -> str:
    if "enum" in field or "const" in field:
        return " | ".join(map(str, field.get("enum", [field.get("const")])))
    kinds = [_kind(one) for one in field.get("anyOf", []) if one.get("type") != "null"]
    return field.get("type") or " or ".join(kinds) or field.get("$ref", "").rpartition("/")[2]
