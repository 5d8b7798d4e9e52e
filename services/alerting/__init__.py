"""Alerting acts: it tells the right people of an answer, signed, until they have it."""
