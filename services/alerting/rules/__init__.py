"""What alerting decides, in values: about alerts, and about sending."""
