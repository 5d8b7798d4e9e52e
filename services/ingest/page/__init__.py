"""The survey page: what customers open on their phones; server-rendered, and whole without JavaScript."""

from services.ingest.page.routes import router

__all__ = ["router"]
