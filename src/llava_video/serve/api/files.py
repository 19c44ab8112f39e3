"""`/v1/files`: uploads, which later requests refer to."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from openai.types import FileDeleted, FileObject
from starlette.datastructures import UploadFile

from llava_video.serve.files import UploadedFile
from llava_video.serve.services import Services, owner_of, services_of
from llava_video.web.errors import HttpError

Owner = Annotated[str, Depends(owner_of)]
Shared = Annotated[Services, Depends(services_of)]

_MOST_FIELDS = 4


PATH = "/v1/files"
router = APIRouter(prefix=PATH)


@router.post("")
async def upload(request: Request, owner: Owner, services: Shared) -> dict[str, Any]:
    """Store a file."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise HttpError(415, "send the file as multipart/form-data")
    async with request.form(max_files=1, max_fields=_MOST_FIELDS) as form:
        file, purpose = form.get("file"), form.get("purpose", "user_data")
        if not isinstance(file, UploadFile) or not isinstance(purpose, str):
            raise HttpError(400, "the form has no file", param="file")
        stored = await run_in_threadpool(
            services.files.add,
            file.file,
            file.size or 0,
            owner=owner,
            name=file.filename or "file",
            purpose=purpose[:64],
        )
    return _describe(stored)


@router.get("")
async def listing(owner: Owner, services: Shared) -> dict[str, Any]:
    """The files of whoever asks, newest first."""
    data = [_describe(file) for file in services.files.of(owner)]
    return {"object": "list", "data": data, "has_more": False}


@router.get("/{file_id}")
async def get(file_id: str, owner: Owner, services: Shared) -> dict[str, Any]:
    """What is known of a file."""
    return _describe(services.files.get(file_id, owner))


@router.get("/{file_id}/content")
async def content(file_id: str, owner: Owner, services: Shared) -> FileResponse:
    """The bytes of a file, or a range of them."""
    found = services.files.get(file_id, owner)
    # Never as what a browser would run; the page plays it by its own copy.
    return FileResponse(
        found.path,
        media_type="application/octet-stream",
        filename=found.name,
        content_disposition_type="attachment",
    )


@router.delete("/{file_id}")
async def delete(file_id: str, owner: Owner, services: Shared) -> dict[str, Any]:
    """Remove a file."""
    services.files.delete(file_id, owner)
    return FileDeleted(id=file_id, deleted=True, object="file").model_dump()


def _describe(file: UploadedFile) -> dict[str, Any]:
    return FileObject.model_construct(
        id=file.file_id,
        bytes=file.num_bytes,
        created_at=file.created,
        filename=file.name,
        object="file",
        purpose=file.purpose,
        status="processed",
    ).model_dump(exclude_unset=True)
