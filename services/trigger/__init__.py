"""Trigger asks: it decides which event leads to which question, for whom, when and how."""
