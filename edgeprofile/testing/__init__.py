"""Profiles without a Redis, for those who test their own code.

::

    from edgeprofile.testing import serving

    with serving({"user": {"email": {"ada@example.com": {"features": {"churn": 0.9}}}}}) as profiles:
        assert offer_for("ada@example.com") == "stay"        # your code, which calls edgeprofile.get
        profiles.put("user", "email", "ada@example.com", {"features": {"churn": 0.1}})
        with profiles.failing(RedisUnavailable("Redis is down")):
            ...

The clients are the real ones, with the same cache, hit path, types and errors; only what they read from is in memory.
With pytest, say ``pytest_plugins = ["edgeprofile.testing.plugin"]`` and take the fixture ``edgeprofiles``.
"""

from __future__ import annotations

from edgeprofile.testing.memory import MemoryProfiles, serving

__all__ = ["MemoryProfiles", "serving"]
