"""Every error that the API gives, in one form."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from controller.http.asking import NoAnswer
from controller.views import QuestionError
from controller.views.resources import Problem
from reconcilers.operators import Refused

PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "the question cannot be understood"},
    404: {"model": Problem, "description": "there is no such resource"},
    422: {"model": Problem, "description": "a parameter has no value of its kind"},
    503: {"model": Problem, "description": "the deciding thread does not answer, or is not ready"},
}


def answer_problems(app: FastAPI) -> None:
    """Have every error answered as a Problem; one that nobody foresaw is logged by the server, too."""
    app.add_exception_handler(QuestionError, _question_error)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(NoAnswer, _no_answer)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unforeseen)


def _problem(status: int, error: str, hint: str = "", headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(Problem(error=error, hint=hint).model_dump(), status, headers)


async def _question_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, QuestionError)
    return _problem(error.status, error.error, error.hint)


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    return _problem(409, str(error))


async def _no_answer(_request: Request, _error: Exception) -> JSONResponse:
    hint = "try again; if it stays so, the controller's log says what it is busy with"
    return _problem(503, "the controller's deciding thread does not answer in time", hint, {"Retry-After": "1"})


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return _problem(422, f"parameter {where}: {first['msg']}", "see /openapi.json")


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _problem(404, f"there is no path {request.url.path}", "see /openapi.json")
    return _problem(error.status_code, str(error.detail), "see /openapi.json", dict(error.headers or {}))


async def _unforeseen(_request: Request, _error: Exception) -> JSONResponse:
    return _problem(500, "the controller failed on this question", "its log says why")
