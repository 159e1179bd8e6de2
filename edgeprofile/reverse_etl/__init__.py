"""Reverse ETL: from a Profiles project and its warehouse to Redis."""
