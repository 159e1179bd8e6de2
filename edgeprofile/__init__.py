"""EdgeProfile."""
