"""Scoring: each response counted once, scores with their uncertainty."""
