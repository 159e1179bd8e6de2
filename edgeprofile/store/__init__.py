"""Talks to Redis: connections, commands, change feeds. The only package that imports a Redis client."""
