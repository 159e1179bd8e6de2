"""What differs between warehouses, as one table of facts.

Everything else is one set of ibis expressions. A warehouse beyond DuckDB and PostgreSQL needs its ibis backend
installed and credentials, and no code.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["DIALECTS", "Dialect"]


class Dialect(Struct, frozen=True, kw_only=True):
    """One kind of warehouse.

    ``backend`` is the ibis backend, ``state_schema`` RudderStack's own schema there, ``folds_up`` whether unquoted
    names become upper case, ``null_safe`` whether it has ``IS NOT DISTINCT FROM``,
    ``json_equality`` whether JSON values can be compared, ``text_for`` the families of types
    that travel as the warehouse's own text because their Arrow form would lose something, ``session`` statements for
    each new session, and ``options`` maps the keys of Profiles' ``siteconfig.yaml`` to the backend's keywords (empty:
    nothing that it needs). ``bytes_of`` names functions that give the bytes of ``string`` and of ``array<string>``,
    where a collation may call different text equal. ``raises_without_schema``: where the schema does not exist, its
    tables cannot even be listed.
    """

    name: str
    backend: str
    state_schema: str = "_rudderstack"
    folds_up: bool = False
    null_safe: bool = True
    json_equality: bool = False
    text_for: frozenset[str] = frozenset({"json", "uuid", "inet", "macaddr", "unknown"})
    session: tuple[str, ...] = ()
    raises_without_schema: bool = False
    options: dict[str, str] = {}
    bytes_of: dict[str, str] = {}

    def fold(self, name: str) -> str:
        """A lower-case name of ours as the warehouse would spell it without quotes."""
        return name.upper() if self.folds_up else name


_EVERYWHERE = frozenset({"json", "uuid", "inet", "macaddr", "unknown"})
_SERVER = {"host": "host", "port": "port", "dbname": "database", "user": "user", "password": "password"}

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            name="duckdb",
            backend="duckdb",
            json_equality=True,
            text_for=_EVERYWHERE | {"time"},  # as Arrow, a time with a zone has lost it
            options={"path": "database"},
            bytes_of={"string": "encode"},
        ),
        Dialect(
            name="postgres",
            backend="postgres",
            # Infinite dates, money and times with a zone have no Arrow form.
            text_for=_EVERYWHERE | {"decimal", "interval", "date", "time", "timestamp"},
            session=(
                "SET intervalstyle = 'iso_8601'",
                "SET datestyle = 'ISO'",
                "SET idle_in_transaction_session_timeout = 0",  # the snapshot is read as fast as Redis takes its rows
            ),
            options={**_SERVER, "schema": "schema", "sslmode": "sslmode"},
            bytes_of={"string": "textsend", "array<string>": "array_send"},
        ),
        Dialect(
            name="redshift",
            backend="postgres",
            null_safe=False,
            text_for=_EVERYWHERE | {"decimal", "interval"},
            options={**_SERVER, "schema": "schema", "sslmode": "sslmode"},
        ),
        Dialect(
            name="snowflake",
            backend="snowflake",
            state_schema="_RUDDERSTACK",
            folds_up=True,
            json_equality=True,
            text_for=_EVERYWHERE | {"array", "map", "struct"},
            options={
                "account": "account",
                "user": "user",
                "password": "password",
                "dbname": "database",
                "schema": "schema",
                "role": "role",
                "warehouse": "warehouse",
                "authenticator": "authenticator",
                "private_key_file": "private_key_file",
                "private_key_file_pwd": "private_key_file_pwd",
            },
        ),
        Dialect(
            name="bigquery",
            backend="bigquery",
            state_schema="rudderstack_",
            text_for=_EVERYWHERE | {"interval"},
            options={"project_id": "project_id", "schema": "dataset_id", "user": ""},
            raises_without_schema=True,
        ),
        Dialect(
            name="databricks",
            backend="databricks",
            text_for=_EVERYWHERE | {"interval"},
            options={
                "host": "server_hostname",
                "http_endpoint": "http_path",
                "access_token": "access_token",
                "catalog": "catalog",
                "schema": "schema",
                "port": "",
                "user": "",
            },
        ),
    )
}
"""By the name that Profiles gives the warehouse, which is also the scheme of its URL."""
