"""Refuses a parameter that a route does not have: a misspelt filter would be a longer list, and nobody would know."""

from collections.abc import Collection, Iterable
from itertools import islice

from fastapi import Request, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute

from shared.http.problems import FieldError, invalid

_ELSEWHERE = (params.Path, params.Header, params.Cookie)
_MOST = 20


def only_known_parameters(request: Request) -> None:
    """`refuse_unknown` for a route of FastAPI."""
    route = request.scope.get("route")
    if request.query_params and isinstance(route, APIRoute):
        refuse_unknown(request.query_params, _known(route))


def refuse_unknown(given: Iterable[str], known: Collection[str]) -> None:
    """Raise a 422 `Problem` that names each unknown parameter of the query, and those there are."""
    unknown = [name for name in dict.fromkeys(given) if name not in known]
    if unknown:
        right = f"one of: {', '.join(sorted(known))}" if known else "none"
        errors = (FieldError(name[:100], "is no parameter here", right) for name in unknown)
        raise invalid(list(islice(errors, _MOST)))


def _known(route: APIRoute) -> frozenset[str]:
    fields = get_flat_params(route.dependant)
    return frozenset(
        field.alias for field in fields if not isinstance(field.field_info, _ELSEWHERE)
    )
