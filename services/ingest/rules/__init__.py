"""The decisions of the ingest service: pure, values in and values out."""
