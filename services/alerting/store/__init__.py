"""Every SQL statement of alerting, one file per noun."""
