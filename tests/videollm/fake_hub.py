"""A model hub on this machine alone, of what `huggingface_hub` asks: make, commit, list, fetch."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "0" * 39 + "1"


class FakeHub:
    """Repositories in memory.

    Attributes:
        repositories: Files by path, by repository.
        private: Names of those that were made private.
        address: Where the hub listens.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.address = ""

    def post(self, path: str, body: bytes) -> tuple[int, Any]:
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            if name.startswith("others/"):
                return 403, {"error": "you are not others"}
            self.repositories.setdefault(name, {})
            if asked.get("visibility") == "private":
                self.private.add(name)
            return 200, {"url": f"{self.address}/{name}", "name": name, "id": name}
        if path == "/api/validate-yaml":
            return 200, {"warnings": [], "errors": []}
        name = "/".join(path.split("/")[3:5])
        if "/preupload/" in path:
            files = [
                {**file, "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return 200, {"files": files}
        if "/commit/" in path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.repositories[name][line["value"]["path"]] = content
            return 200, {"commitUrl": f"{self.address}/{name}/commit/{COMMIT}", "commitOid": COMMIT}
        return 404, {"error": f"no {path}"}

    def info(self, path: str) -> tuple[int, Any]:
        name = "/".join(path.split("/")[3:5])
        if name not in self.repositories:
            return 404, {"error": "Repository not found"}
        files = self.repositories[name]
        if "/tree/" in path:
            return 200, [
                {"type": "file", "path": file, "size": len(content), "oid": etag(content)}
                for file, content in files.items()
            ]
        siblings = [{"rfilename": file} for file in files]
        return 200, {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "tags": []}


def etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def handler_of(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.answer(*hub.post(urlsplit(self.path).path, body))

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if path.startswith("/api/"):
                self.answer(*hub.info(path))
                return
            owner, name, _, _, *inner = path.strip("/").split("/")
            content = hub.repositories.get(f"{owner}/{name}", {}).get("/".join(inner))
            if content is None:
                self.answer(404, {"error": "Entry not found"}, code="EntryNotFound")
            else:
                self.send(200, content, {"ETag": f'"{etag(content)}"', "X-Repo-Commit": COMMIT})

        def answer(self, status: int, value: object, code: str = "RepoNotFound") -> None:
            headers = {"Content-Type": "application/json"}
            if status == 404:
                headers["X-Error-Code"] = code
            self.send(status, json.dumps(value).encode(), headers)

        def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    return Handler


@contextmanager
def serve_hub(cache: str) -> Iterator[FakeHub]:
    """Yield a hub that `huggingface_hub` talks to, with a cache folder of its own."""
    from huggingface_hub import constants

    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(hub))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", hub.address)
        patch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            hub.address + "/{repo_id}/resolve/{revision}/{filename}",
        )
        patch.setattr(constants, "HF_HUB_CACHE", cache)
        patch.setattr("transformers.utils.hub._hf_api", None)
        patch.setenv("HF_TOKEN", "hf_of_this_test")
        yield hub
    server.shutdown()
    server.server_close()
    thread.join()
