"""Builds a service's FastAPI application: routes, problems, health; the same ground under all of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from shared.auth import Access
from shared.errors import Unavailable
from shared.http.bodies import field_error
from shared.http.middleware import CleanBody, RequestContext, shown_path
from shared.http.problems import Problem, invalid, unavailable
from shared.telemetry import log

VERSION = "0.1.0"
_NO_TELEMETRY: Final[TelemetryConfig] = {"tracing": False, "metrics": False, "logs": False}
"""FastAPI would tell whoever instruments this process of every path, and that of a survey link is a key to it."""


@dataclass
class Health:
    """Live is that the event loop turns; ready is started, done with comparing the database with the log, and not
    draining. A dependency that is away ends the comparing."""

    started: bool = False
    comparing: bool = False
    restoring: str | None = None
    """What the comparing has found to do, where it takes a while."""
    draining: bool = False


def create_app(
    service: str,
    *,
    access: Access,
    context: Any,
    routers: Sequence[APIRouter],
    health: Health,
    plain: Sequence[BaseRoute] = (),
) -> FastAPI:
    """The application of one service. `context` is what its routes reach the database and settings by; `plain` are
    routes past FastAPI, tried before all others."""
    app = FastAPI(
        title=f"Afterword {service}",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url=f"/v1/openapi/{service}.json",
        generate_unique_id_function=operation_id,
        telemetry=_NO_TELEMETRY,
        responses={
            "default": {
                "description": "RFC 9457 problem",
                "content": {"application/problem+json": {}},
            }
        },
    )
    app.state.access = access
    app.state.context = context
    app.router.routes.extend(plain)
    app.include_router(health_routes(health))
    for router in routers:
        app.include_router(router)
    app.exception_handler(Problem)(_problem)
    app.exception_handler(Unavailable)(_unavailable)
    app.exception_handler(RequestValidationError)(_validation)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(Exception)(_unexpected)
    app.add_middleware(CleanBody)
    app.add_middleware(RequestContext, service=service)
    return app


def operation_id(route: Any) -> str:
    """A name for generated clients: the method and the path, which no two operations share."""
    method = min(route.methods).lower()
    words = re.sub(r"[^A-Za-z0-9]+", "_", route.path_format).strip("_")
    return f"{method}_{words}"


def health_routes(*healths: Health) -> APIRouter:
    """The two probes of a process, which is ready when all its services are; neither asks a dependency, so that an
    outage never restarts a process."""
    router = APIRouter(prefix="/health", tags=["health"])

    @router.get("/live")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @router.get("/ready")
    async def ready() -> JSONResponse:
        if any(health.draining for health in healths):
            return JSONResponse({"status": "draining"}, 503)
        if all(health.started and not health.comparing for health in healths):
            return JSONResponse({"status": "ready"})
        if details := [health.restoring for health in healths if health.restoring]:
            return JSONResponse({"status": "restoring", "detail": "; ".join(details)}, 503)
        return JSONResponse({"status": "starting"}, 503)

    return router


def request_id(request: Request) -> str | None:
    """The id under which this request is logged and answered."""
    found: str | None = getattr(request.state, "request_id", None)
    return found


async def _problem(request: Request, error: Problem) -> Response:
    return error.response(request_id(request))


async def _unavailable(request: Request, error: Exception) -> Response:
    log.warning("request_unavailable", path=shown_path(request.url.path), reason=str(error))
    return unavailable("A dependency is away; try again.").response(request_id(request))


async def _validation(request: Request, error: RequestValidationError) -> Response:
    return invalid([field_error(item) for item in error.errors()[:100]]).response(
        request_id(request)
    )


async def _http(request: Request, error: HTTPException) -> Response:
    kinds = {404: "not-found", 405: "method-not-allowed"}
    problem = Problem(error.status_code, kinds.get(error.status_code, "error"), str(error.detail))
    return problem.response(request_id(request))


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("request_failed", path=shown_path(request.url.path), exc_info=error)
    return Problem(500, "internal", "The request failed; its id is in the log.").response(
        request_id(request)
    )
