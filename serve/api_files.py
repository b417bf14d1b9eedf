"""`/v1/files`: upload a video once, ask about it many times."""

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from videollm.serve.access import Asker, asker_of
from videollm.serve.api_errors import ERROR_RESPONSES, ApiError
from videollm.serve.media_store import MediaStore, StoredFile, TooLargeError, too_large
from videollm.serve.service import Service

__all__ = ["files_router"]

CHUNK_BYTES = 2**20
Who = Annotated[Asker, Depends(asker_of)]


def files_router(service: Service) -> APIRouter:
    """Return the routes.

    Args:
        service: Keeps the files.
    """
    router = APIRouter(prefix="/v1/files", tags=["files"], responses=ERROR_RESPONSES)
    store = service.store

    @router.post("", summary="Upload a video or picture")
    async def upload(
        asker: Who,
        file: Annotated[UploadFile, File()],
        purpose: Annotated[str, Form(max_length=64)] = "vision",
    ) -> dict[str, Any]:
        return _shown(store, await _keep(store, file, purpose, asker))

    @router.get("", summary="List the files")
    async def list_all(asker: Who) -> dict[str, Any]:
        found = [_shown(store, file) for file in store.uploads(asker.owner)]
        return {"object": "list", "data": found, "has_more": False}

    @router.get("/{file_id}", summary="Say what is known of a file")
    async def show(file_id: str, asker: Who) -> dict[str, Any]:
        return _shown(store, _find(store, file_id, asker))

    @router.get("/{file_id}/content", summary="Download a file", response_class=FileResponse)
    async def content(file_id: str, asker: Who, request: Request) -> FileResponse:
        file = _find(store, file_id, asker)
        # never shown in a browser as what it claims to be
        return FileResponse(file.path, media_type="application/octet-stream", filename=file.key)

    @router.delete("/{file_id}", summary="Delete a file")
    async def delete(file_id: str, asker: Who) -> dict[str, Any]:
        store.delete(_find(store, file_id, asker))
        return {"id": file_id, "object": "file", "deleted": True}

    return router


async def _keep(store: MediaStore, file: UploadFile, purpose: str, asker: Asker) -> StoredFile:
    key = f"file-{secrets.token_hex(12)}"
    path = store.new_path(key)
    num_bytes = 0
    try:
        with path.open("wb") as output:
            while data := await file.read(CHUNK_BYTES):
                num_bytes += len(data)
                if num_bytes > store.max_file_bytes:
                    raise TooLargeError(too_large(None, store.max_file_bytes))
                await run_in_threadpool(output.write, data)
        if not num_bytes:
            raise ApiError(400, "the file is empty (0 bytes): send its bytes", param="file")
    except BaseException:
        store.discard(path)
        raise
    title = (file.filename or key)[:255]
    kept = StoredFile(
        key, path, num_bytes, owner=asker.owner, title=title, purpose=purpose, is_upload=True
    )
    return store.add(kept)


def _find(store: MediaStore, file_id: str, asker: Asker) -> StoredFile:
    file = store.find(file_id, asker.owner)
    if file is None or not file.is_upload:
        message = f"there is no file {file_id[:60]!r}: files are kept for a while only"
        raise ApiError(404, message, param="file_id")
    return file


def _shown(store: MediaStore, file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.key,
        "object": "file",
        "bytes": file.num_bytes,
        "created_at": int(file.created),
        "expires_at": int(file.created + store.keep_seconds),
        "filename": file.title,
        "purpose": file.purpose,
        "status": "processed",
    }
