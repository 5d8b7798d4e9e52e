"""The command line's HTTP client: the public API with a key, and problems as sentences."""

from typing import Any

import httpx

from services.cli.context import Context
from shared.errors import AfterwordError, StartupError


class ApiError(AfterwordError):
    """The system answered with a problem, or not at all."""

    def __init__(self, status: int | None, problem: dict[str, Any], message: str) -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem


def open_client(context: Context, *, timeout_seconds: float = 30.0) -> httpx.Client:
    """A client of the context's system; give its answers to `answer`."""
    try:
        return httpx.Client(
            base_url=context.url,
            headers={"authorization": f"Bearer {context.api_key}"},
            timeout=timeout_seconds,
            trust_env=False,
        )
    except httpx.InvalidURL as error:
        raise StartupError(f"AFTERWORD_URL {context.url} is not a URL: {error}") from error


def answer(response: httpx.Response) -> Any:
    """The JSON of a success. Raises `ApiError` with the problem's own words."""
    if response.is_success:
        return response.json() if response.content else None
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    problem = problem if isinstance(problem, dict) else {}
    raise ApiError(response.status_code, problem, _told(response.status_code, problem))


def _told(status: int, problem: dict[str, Any]) -> str:
    """What is wrong: one thing as one line, several as a list below what the problem says of them."""
    wrong = []
    for error in problem.get("errors", []):
        expected = f" (expected {error['expected']})" if error.get("expected") else ""
        wrong.append(f"{error['at']}: {error['message']}{expected}")
    if len(wrong) == 1:
        return wrong[0]
    return "\n  ".join([problem.get("detail") or f"the system answered {status}", *wrong])


def request(client: httpx.Client, method: str, path: str, **arguments: Any) -> Any:
    """One call. Raises `ApiError` for a problem and for a system that does not answer."""
    try:
        return answer(client.request(method, path, **arguments))
    except httpx.TransportError as error:
        raise ApiError(
            None, {}, f"{client.base_url} does not answer: {error}; is it running?"
        ) from error
