"""Ingest knows and collects: events, customers, surveys, units, and the answers that come back."""
