"""The demo's warehouse: a DuckDB file as a Profiles run would have left it, and customers who go on ordering.

Events lie in ``rudder_events``; identities are stitched (``user_id_graph``), features computed (``user_vars``), and the
views that ``project/pb_project.yaml`` names stand in the schema ``main``. Everything follows from the number of users.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb

from edgeprofile.demo.settings import PROJECT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["ORDERS_EACH", "PROJECT", "build", "order"]

ORDERS_EACH: Final = 6
"""Orders for each user, on average."""

_EVENTS: Final = """
CREATE SCHEMA rudder_events;

CREATE TABLE rudder_events.identifies AS
SELECT 'u' || i AS user_id,
       CASE i WHEN 0 THEN 'ada' ELSE 'user' || i END || '@example.com' AS email,
       md5('anonymous' || i) AS anonymous_id,
       ['UK', 'DE', 'FR', 'IN', 'US', 'BR'][(1 + hash(i) % 6)::BIGINT] AS country,
       ['free', 'basic', 'pro'][(1 + hash(i + 1) % 3)::BIGINT] AS plan,
       hash(i + 3) % 5 < 3 AS is_subscribed,
       ['newsletter', 'partner', 'search', 'social', NULL][(1 + hash(i + 4) % 5)::BIGINT] AS referrer,
       TIMESTAMP '2025-01-01' + to_seconds((hash(i + 2) % 31536000)::BIGINT) AS occurred_at
FROM range($users) AS numbers(i);

CREATE TABLE rudder_events.orders AS
SELECT 'u' || (hash(n) % $users) AS user_id,
       (500 + hash(n + 1) % 30000)::DECIMAL(12, 2) / 100 AS amount,
       ['books', 'garden', 'music', 'shoes', 'toys'][(1 + hash(n + 2) % 5)::BIGINT] AS category,
       TIMESTAMP '2026-01-01' + to_seconds((hash(n + 3) % 15552000)::BIGINT) AS occurred_at
FROM range($orders) AS numbers(n);
"""

_STITCHED: Final = """
CREATE TABLE user_id_graph AS
UNPIVOT (
    SELECT 'rid' || md5(user_id) AS user_main_id, user_id, email, anonymous_id FROM rudder_events.identifies
) ON user_id, email, anonymous_id INTO NAME other_id_type VALUE other_id;
"""

_FEATURES: Final = """
CREATE OR REPLACE TABLE user_vars AS
WITH ordered AS (
    SELECT user_id, count(*) AS orders, sum(amount)::DECIMAL(12, 2) AS lifetime_value, max(amount) AS largest_order,
           max(occurred_at) AS last_order_at, mode(category ORDER BY category) AS favourite_category,
           list_sort(list_distinct(list(category))) AS categories
    FROM rudder_events.orders GROUP BY user_id
)
SELECT 'rid' || md5(user_id) AS user_main_id,
       now() AS valid_at,
       coalesce(orders, 0) AS orders,
       coalesce(lifetime_value, 0) AS lifetime_value,
       last_order_at,
       round(lifetime_value / orders, 2)::DECIMAL(12, 2) AS average_order,
       largest_order,
       favourite_category,
       coalesce(categories, []) AS categories,
       coalesce(lifetime_value > 1000, false) AS is_vip,
       round(1.0 / (1 + coalesce(orders, 0)), 4)::DOUBLE AS churn_score,
       CASE WHEN coalesce(orders, 0) < 3 THEN 'high' WHEN orders < 7 THEN 'medium' ELSE 'low' END AS churn_band,
       country, plan, is_subscribed, referrer, occurred_at::DATE AS first_seen
FROM rudder_events.identifies LEFT JOIN ordered USING (user_id);
"""

_DEFAULT_VIEW: Final = "CREATE VIEW user_feature_view AS SELECT * FROM user_vars;"
_VIEWS: Final = {
    "features_by_email": "email",
    "web_personalization": "anonymous_id",
    "user_feature_view_using_user_id": "user_id",
}


def _view(name: str, id_type: str) -> str:
    return (
        f"CREATE VIEW {name} AS SELECT other_id AS {id_type}, user_vars.* EXCLUDE (user_main_id, valid_at) "  # noqa: S608  # our own names
        f"FROM user_vars JOIN user_id_graph USING (user_main_id) WHERE other_id_type = '{id_type}';"
    )


def build(path: Path, users: int = 10_000) -> None:
    """Make the warehouse at ``path``, which must not exist yet."""
    with duckdb.connect(str(path)) as connection:
        for statement in duckdb.extract_statements(_EVENTS):
            values = {"users": users, "orders": ORDERS_EACH * users}
            wanted = {name: value for name, value in values.items() if f"${name}" in statement.query}
            connection.execute(statement, wanted or None)
        connection.execute(_STITCHED + _FEATURES + _DEFAULT_VIEW)
        for name, id_type in _VIEWS.items():
            connection.execute(_view(name, id_type))


def order(path: Path, emails: Sequence[str], amount: float = 250.0) -> None:
    """Let customers order once more, now, and let Profiles run again."""
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            """
            INSERT INTO rudder_events.orders
            SELECT user_id, $amount::DECIMAL(12, 2), 'music', now()::TIMESTAMP
            FROM rudder_events.identifies WHERE email IN (SELECT unnest($emails))
            """,
            {"amount": amount, "emails": list(emails)},
        )
        connection.execute(_FEATURES)
