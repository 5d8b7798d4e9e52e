"""Every SQL statement of the ingest service, one file per noun."""
