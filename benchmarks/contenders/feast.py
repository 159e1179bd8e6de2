"""Feast's Python feature server on its Redis online store, one worker, without access log: 20 features of one entity."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.protocol import Round, Spec, serve
from benchmarks.serving import HOST, described

TITLE = "Feast Python feature server"
REQUIRES = ("feast[redis]",)
DISTRIBUTIONS = ("feast", "redis")
_VIEW = "features_by_email"
_PATIENCE = 60.0  # seconds to start
_STORE = """project: benchmark
provider: local
registry: registry.db
online_store: {{type: redis, connection_string: "{host}:{port}"}}
offline_store: {{type: file}}
entity_key_serialization_version: 3
"""


@contextmanager
def http(spec: Spec) -> Iterator[Round]:
    features = {name: _plain(value) for name, value in data.traits(0).items()}
    with tempfile.TemporaryDirectory() as home, socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        listener.close()
        os.environ["FEAST_USAGE"] = "False"
        Path(home, "feature_store.yaml").write_text(_STORE.format(**spec["server"]), encoding="utf-8")
        _write(home, features)
        with _serving(home, port):
            yield described(_endpoint(port, features))


def _plain(value: object) -> object:
    """Feast's columns have one simple type each."""
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def _write(home: str, features: dict[str, Any]) -> None:
    import pandas as pd
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType, types

    kinds: dict[type, Any] = {bool: types.Bool, int: types.Int64, float: types.Float64, str: types.String}
    row = {"email": data.identity(0), **features, "event_timestamp": datetime.now(UTC)}
    frame = pd.DataFrame([row])
    frame.to_parquet(Path(home, "source.parquet"))
    entity = Entity(name="email", join_keys=["email"], value_type=ValueType.STRING)
    source = FileSource(path="source.parquet", timestamp_field="event_timestamp")
    schema = [Field(name=name, dtype=kinds[type(value)]) for name, value in features.items()]
    view = FeatureView(name=_VIEW, entities=[entity], ttl=timedelta(days=1), schema=schema, source=source)
    store = FeatureStore(home)
    store.apply([entity, view])
    store.write_to_online_store(_VIEW, frame)


@contextmanager
def _serving(home: str, port: int) -> Iterator[None]:
    program = Path(sys.executable).with_name("feast")
    command = [program, "serve", "--host", HOST, "--port", str(port), "--workers", "1", "--no-access-log"]
    command += ["--max-requests", "10000000"]  # otherwise it restarts, and cuts its connections, after a thousand
    with subprocess.Popen(command, cwd=home) as process:
        try:
            _wait(port, process)
            yield
        finally:
            process.terminate()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=2).close()  # http, to our own
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError("the feature server did not start")


def _endpoint(port: int, features: dict[str, Any]) -> dict[str, Any]:
    asked = {"features": [f"{_VIEW}:{name}" for name in features], "entities": {"email": [data.identity(0)]}}
    return {
        "url": f"http://{HOST}:{port}",
        "path": "/get-online-features",
        "method": "POST",
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps(asked),
        "contains": json.dumps(features["last_seen_at"]),
    }


if __name__ == "__main__":
    serve(DISTRIBUTIONS, http=http)
