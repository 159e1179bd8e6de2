"""The page about the library: its examples run as they stand, and it leaves out no function, argument or error."""

import ast
import asyncio
import inspect
import re
from pathlib import Path

import pytest

import edgeprofile
from edgeprofile import errors
from edgeprofile.testing import serving

PAGE = (Path(__file__).parents[2] / "docs/library.md").read_text(encoding="utf-8")
ADA = {"features_by_email": {"churn_score": 0.42}}
PROFILES = {"user": {"email": {"ada@example.com": ADA}}}
CONFIG = {"destinations": [{"id": "2aBcDeF", "workspaceId": "1xYz", "config": {"address": "nobody"}}]}


def test_its_examples_run():
    names = {"edgeprofile": edgeprofile}

    async def run(block):
        code = compile(block, "library.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if inspect.iscoroutine(waiting := eval(code, names)):  # noqa: S307 (the page's own words)
            await waiting

    with serving(PROFILES, config=CONFIG) as profiles:
        names["client"] = profiles.client
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
            asyncio.run(run(block))
            assert names["profile"] == ADA
    assert names["score"] == ADA["features_by_email"]
    assert names["plain"] == names["cached"] == ADA
    assert names["many"] == {"ada@example.com": ADA, "nobody@example.com": None}


@pytest.mark.parametrize("name", errors.__all__)
def test_it_names_every_error(name):
    assert f"`{name}`" in PAGE or f"`edgeprofile.{name}`" in PAGE or f"`{name}:" in PAGE


@pytest.mark.parametrize("name", ["get", "get_many", "peek", "aget", "aget_many", "stats", "configure"])
def test_it_names_every_function_of_the_module(name):
    assert re.search(rf"`(edgeprofile\.)?{name}\b", PAGE)


def test_it_names_what_a_client_has():
    for client in (edgeprofile.Client, edgeprofile.AsyncClient):
        for name in {name for name, value in vars(client).items() if callable(value) and not name.startswith("_")}:
            assert name in {"get_json", "peek_json"} or re.search(rf"\b{name}\b", PAGE), name
