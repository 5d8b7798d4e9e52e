"""Definitions as every service keeps them: put, list and apply its own, announce them, copy those of others."""

from shared.definitions.documents import Definition, Document, Kind, Reference, Stateful, Wish

__all__ = ["Definition", "Document", "Kind", "Reference", "Stateful", "Wish"]
