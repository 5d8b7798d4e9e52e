"""Trigger asks: it decides about every event and makes, sends and ends invitations."""
