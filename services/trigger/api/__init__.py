"""The routes of trigger."""
