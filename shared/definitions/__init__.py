"""Definitions as every service keeps them: put, list and apply its own, announce them, copy those of others."""

from shared.definitions.documents import Definition, Document, Kind, Reference, Wish
from shared.definitions.store import copies_table, definitions_table

__all__ = [
    "Definition",
    "Document",
    "Kind",
    "Reference",
    "Wish",
    "copies_table",
    "definitions_table",
]
