"""Every SQL statement of scoring, one file per noun."""
