"""JSON as the API sends it, and errors in their one shape: {"error": {"message", "type"}}.

Messages are the room's own words and say what to do next; nothing that a request carried is sent back raw.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app.errors import (
    AlreadyThere,
    AttestError,
    Failed,
    MemoryRefused,
    NotAllowed,
    NotFound,
    NothingToAsk,
    Unavailable,
)

RETRY_SECONDS = 5  # after which to try again what is not to be had yet


@dataclass(frozen=True)
class ErrorBody:
    """What happened, in words for people, and its kind in one word for programs."""

    message: str
    type: str


@dataclass(frozen=True)
class ErrorReply:
    """Every answer that is not a success."""

    error: ErrorBody


class Json(JSONResponse):
    """ASCII on the wire, since a file name need not be text."""

    def render(self, content: Any) -> bytes:
        return to_json(content).encode()


def to_json(content: Any) -> str:
    """The same object as `--json` prints."""
    return json.dumps(content, default=_plain, ensure_ascii=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


# The first that fits decides.
_KINDS: tuple[tuple[type[AttestError], int, str], ...] = (
    (NotFound, 404, "not_found"),
    (NotAllowed, 403, "not_allowed"),
    (AlreadyThere, 409, "already_there"),
    (NothingToAsk, 409, "nothing_to_ask"),
    (MemoryRefused, 409, "memory_refused"),
    (Unavailable, 503, "unavailable"),
    (Failed, 500, "failed"),
    (AttestError, 422, "invalid_request"),
)
_NAMES = {
    400: "invalid_request",
    401: "key_required",
    403: "not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    429: "too_many_requests",
}
_WORDS = {
    "Not Found": "there is nothing at this address; /docs lists what there is",
    "Method Not Allowed": "this address does not take that method; /docs lists what there is",
    "Content Too Large": "the request is larger than this address takes",
}


def error_reply(status: int, message: str, headers: Mapping[str, str] | None = None) -> Json:
    """A refusal that is not the service's."""
    content = ErrorReply(ErrorBody(message, _NAMES.get(status, "failed")))
    return Json(content, status, dict(headers or {}))


def status_of(error: AttestError) -> tuple[int, str]:
    """The status and the kind that stand for an error of ours."""
    return next((status, kind) for one, status, kind in _KINDS if isinstance(error, one))


def error_content(error: AttestError) -> ErrorReply:
    """An error of ours as the body of a reply, or as the last event of a stream."""
    return ErrorReply(ErrorBody(str(error), status_of(error)[1]))


def add_handlers(api: FastAPI) -> None:
    """Every error that can leave a route of `api`, in our shape."""
    api.add_exception_handler(AttestError, _ours)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _refused)
    api.add_exception_handler(Exception, _unforeseen)


def _ours(_: Request, error: Exception) -> Json:
    assert isinstance(error, AttestError)
    status = status_of(error)[0]
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None
    return Json(error_content(error), status, headers)


def _invalid(request: Request, error: Exception) -> Json:
    assert isinstance(error, RequestValidationError)
    taken = "multipart/form-data" if request.url.path.endswith("/documents") else "application/json"
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method in ("POST", "PUT") and given != taken:
        return error_reply(415, f"this address takes {taken}")
    found = [f"{_place(each['loc'])}: {each['msg']}" for each in error.errors()]
    return error_reply(422, "; ".join(found)[:2000])


def _place(location: tuple[int | str, ...]) -> str:
    """Where in the request something is wrong: body.messages.0.role."""
    return ".".join(str(part)[:100] for part in location)


def _unforeseen(_request: Request, _error: Exception) -> Json:
    return error_reply(500, "this failed for a reason that was not foreseen; the application's log has more")


def _refused(_: Request, error: Exception) -> Json:
    assert isinstance(error, HTTPException)
    words = _WORDS.get(error.detail, error.detail)
    return error_reply(error.status_code, words, headers=error.headers)
