"""Has this process record spans, if its settings name a collector."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.errors import StartupError
from shared.settings import Settings


@asynccontextmanager
async def open_tracing(settings: Settings) -> AsyncIterator[None]:
    """Record until the context ends; do nothing without a collector, whether the SDK is installed or not.

    Raises `StartupError` for a collector without the SDK.
    """
    if settings.traces_url is None:
        yield
        return
    try:
        from shared.tracing.exporting import exporting
    except ImportError as missing:
        raise StartupError(
            f"AFTERWORD_TRACES_URL is set, and what sends traces is not installed ({missing.name}):"
            " install afterword[traces], or take the setting away"
        ) from missing
    log_system = "kafka" if settings.log_url.startswith("kafka") else "afterword"
    async with exporting(settings.traces_url, settings.traces_ratio, log_system):
        yield
