"""Errors in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from spnl_tui.engine.backend import RequestFailed
from spnl_tui.errors import SpnlError

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}
_STATUS = {"context": 400, "template": 400, "request": 400, "load": 503, "internal": 500}
"""The status of a failed request, by its kind."""


class ApiError(Exception):
    """A refusal, with its HTTP status."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`param` names the field of the request that is wrong; `code` is for programs."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = headers

    @property
    def body(self) -> dict[str, Any]:
        """The error as the client reads it."""
        return {
            "error": {
                "message": self.message,
                "type": _TYPES.get(self.status, "server_error"),
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> JSONResponse:
        """Return the HTTP response."""
        return JSONResponse(self.body, self.status, self.headers)


def api_error(cause: RequestFailed | SpnlError, param: str | None = None) -> ApiError:
    """Return the error that reports this failure to a client."""
    message = ". ".join(part.rstrip(".") for part in (cause.title, cause.message, cause.hint) if part) + "."
    if isinstance(cause, SpnlError):
        return ApiError(400, message, param=param)
    code = "context_length_exceeded" if cause.kind == "context" else None
    return ApiError(_STATUS[cause.kind], message, param=param, code=code)
