"""The tokens file: followed as it changes, and replaced in one step."""

import errno
import stat
import threading
from pathlib import Path

import pytest

from edgeprofile import ConfigurationError
from edgeprofile_sidecar import followed
from edgeprofile_sidecar.token_file import TokenFile, load, update
from edgeprofile_sidecar.tokens import Grant, Token, dump
from tests.support.sidecar import token


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "tokens.json"
    file.write_bytes(dump([token("first")]))
    return file


def replace(path: Path, text: bytes) -> None:
    """As an editor or `mv` does: another file takes the name."""
    draft = path.with_suffix(".new")
    draft.write_bytes(text)
    draft.replace(path)


def opens(tokens: TokenFile, secret: str) -> bool:
    return isinstance(tokens.current.admit([f"Bearer {secret}"], 0.0), Grant)


def test_it_is_read_at_once(path):
    tokens = TokenFile(path)
    assert opens(tokens, "first")
    assert tokens.good


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "edgeprofile token create"), (b"", "cannot be used"), (b'{"version": 1}', "tokens")],
)
def test_a_first_file_that_cannot_be_used_is_an_error_that_says_why(tmp_path, text, said):
    path = tmp_path / "tokens.json"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(ConfigurationError, match=said) as caught:
        TokenFile(path)
    assert (caught.value.source, caught.value.option) == (str(path), "sidecar.tokensFile")


def test_a_file_that_stays_is_not_read_again(path):
    tokens = TokenFile(path)
    before = tokens.current
    assert not tokens.refresh()
    assert tokens.current is before


def test_a_changed_file_is_read_again_and_once(path):
    tokens = TokenFile(path)
    replace(path, dump([token("second")]))
    assert tokens.refresh()
    assert not tokens.refresh()
    assert opens(tokens, "second")
    assert not opens(tokens, "first")


def test_a_file_written_in_place_is_read_again(path):
    tokens = TokenFile(path)
    path.write_bytes(dump([token("first"), token("second")]))
    assert tokens.refresh()
    assert opens(tokens, "second")


def test_a_revoked_token_is_forgotten_also_by_what_remembers_headers(path):
    tokens = TokenFile(path)
    assert opens(tokens, "first")
    replace(path, dump([]))
    tokens.refresh()
    assert not opens(tokens, "first")


def test_a_mounted_secret_changes_by_turning_a_link(tmp_path):
    for version, secret in (("v1", "first"), ("v2", "second")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "tokens.json").write_bytes(dump([token(secret)]))
    data = tmp_path / "..data"
    data.symlink_to("v1")
    (tmp_path / "tokens.json").symlink_to("..data/tokens.json")
    tokens = TokenFile(tmp_path / "tokens.json")
    turned = tmp_path / "..data_tmp"
    turned.symlink_to("v2")
    turned.replace(data)
    assert tokens.refresh()
    assert opens(tokens, "second")


def test_a_bad_file_leaves_the_tokens_in_force_and_is_said_once(path, caplog):
    tokens = TokenFile(path)
    replace(path, b"{")
    for _ in range(3):
        assert not tokens.refresh()
    assert opens(tokens, "first")
    assert (tokens.good, tokens.failures) == (False, 1)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert str(path) in caplog.text


def test_a_file_that_was_removed_leaves_the_tokens_in_force(path):
    tokens = TokenFile(path)
    path.unlink()
    assert not tokens.refresh()
    assert opens(tokens, "first")
    assert not tokens.good


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: replace(path, b"{")])
def test_a_good_file_after_a_bad_one_comes_into_force(path, spoil):
    tokens = TokenFile(path)
    spoil(path)
    tokens.refresh()
    replace(path, dump([token("second")]))
    assert tokens.refresh()
    assert opens(tokens, "second")
    assert tokens.good


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(followed, "_AGAIN", 0.0)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("reason", [OSError(errno.EMFILE, "Too many open files"), RecursionError(), MemoryError()])
def test_a_reading_that_failed_once_does_not_keep_a_revoked_token_valid(path, monkeypatch, reason):
    tokens = TokenFile(path)
    replace(path, dump([]))

    def fail(_: Path) -> bytes:
        raise reason

    with monkeypatch.context() as failing:
        failing.setattr(Path, "read_bytes", fail)
        assert not tokens.refresh()
    assert opens(tokens, "first")
    assert not tokens.good
    assert tokens.refresh()
    assert not opens(tokens, "first")
    assert tokens.good
    assert not tokens.refresh()


@pytest.mark.usefixtures("at_once")
def test_what_stays_bad_is_tried_again_in_silence_and_said_again_when_it_changes(path, caplog):
    tokens = TokenFile(path)
    replace(path, b"{")
    for _ in range(3):
        assert not tokens.refresh()
    assert tokens.failures == len(caplog.records) == 1
    replace(path, b"{ ")
    assert not tokens.refresh()
    assert tokens.failures == len(caplog.records) == 2


def adding(secret: str):
    return lambda tokens: (*tokens, token(secret))


def test_an_update_makes_a_file_that_only_its_owner_reads(tmp_path):
    path = tmp_path / "tokens.json"
    update(path, adding("first"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [made.name for made in load(path)] == ["first"]
    assert [file.name for file in tmp_path.iterdir()] == ["tokens.json"]


def test_an_update_keeps_the_others(path):
    update(path, adding("second"))
    assert [made.name for made in load(path)] == ["first", "second"]


def test_an_update_goes_through_a_link(tmp_path, path):
    link = tmp_path / "link.json"
    link.symlink_to(path)
    update(link, adding("second"))
    assert link.is_symlink()
    assert len(load(path)) == 2


def test_an_update_of_a_bad_file_leaves_it_alone(path):
    path.write_bytes(b"{")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        update(path, adding("second"))
    assert path.read_bytes() == b"{"


def test_an_update_that_fails_changes_nothing_and_leaves_no_draft(path, tmp_path):
    def fail(_: tuple[Token, ...]) -> tuple[Token, ...]:
        raise ZeroDivisionError

    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError):
        update(path, fail)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["tokens.json"]


def test_a_directory_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be written"):
        update(tmp_path / "absent" / "tokens.json", adding("first"))


def test_updates_at_once_wait_for_each_other(path):
    threads = [threading.Thread(target=update, args=(path, adding(f"token {n}"))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(load(path)) == 9
