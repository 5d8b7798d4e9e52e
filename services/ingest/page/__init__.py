"""The survey page: what customers open on their phones; server-rendered, and whole without JavaScript."""

from services.ingest.page.routes import page_routes

__all__ = ["page_routes"]
