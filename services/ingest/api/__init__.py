"""The routes of the ingest service, one file per noun."""
