"""Binding: TCP and Unix sockets, what is left over, and what is said."""

import socket
import stat

import pytest

from edgeprofile import ConfigurationError
from edgeprofile_sidecar.sockets import bind


@pytest.fixture
def bound():
    """`bind`, with every socket released at the end."""
    made = []

    def make(address):
        made.append(bind(address, "sidecar.listen[0]"))
        return made[-1]

    yield make
    for each in made:
        each.release()


def test_any_free_port(bound):
    each = bound("127.0.0.1:0")
    host, _, port = each.address.rpartition(":")
    assert host == "127.0.0.1"
    assert int(port) == each.socket.getsockname()[1] > 0


def test_a_name_and_ipv6(bound):
    assert bound("localhost:0").address.startswith(("127.0.0.1:", "[::1]:"))
    if socket.has_ipv6:
        assert bound("[::1]:0").address.startswith("[::1]:")


def test_a_unix_socket_is_for_user_and_group_and_is_removed(tmp_path):
    path = tmp_path / "s"
    each = bind(f"unix:{path}", "sidecar.listen[0]")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert each.address == f"unix:{path}"
    each.release()
    assert not path.exists()
    each.release()


def test_a_socket_left_over_is_replaced(bound, tmp_path):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    assert (tmp_path / "s").exists()
    assert bound(f"unix:{tmp_path / 's'}").socket.getsockname() == str(tmp_path / "s")


def test_a_socket_in_use_stays(bound, tmp_path):
    first = bound(f"unix:{tmp_path / 's'}")
    first.socket.listen()
    with pytest.raises(ConfigurationError, match="cannot be listened at: Address already in use"):
        bound(f"unix:{tmp_path / 's'}")
    assert (tmp_path / "s").exists()


def test_a_file_that_is_no_socket_stays(bound, tmp_path):
    (tmp_path / "s").write_text("precious")
    with pytest.raises(ConfigurationError, match="Address already in use"):
        bound(f"unix:{tmp_path / 's'}")
    assert (tmp_path / "s").read_text() == "precious"


def test_the_socket_of_a_successor_is_not_removed(bound, tmp_path):
    first = bind(f"unix:{tmp_path / 's'}", "sidecar.listen[0]")
    (tmp_path / "s").rename(tmp_path / "old")
    bound(f"unix:{tmp_path / 's'}")
    first.release()
    assert (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1", "has no port"),
        ("127.0.0.1:http", "has the port"),
        ("unix:relative", "is no absolute path"),
        ("unix:/nowhere/at/all", "No such file or directory"),
        ("host.invalid:80", "cannot be listened at"),
        ("192.0.2.1:0", "cannot be listened at: Cannot assign requested address"),
    ],
)
def test_an_address_that_cannot_be_had_is_said_with_its_option(address, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        bind(address, "sidecar.adminListen")
    assert caught.value.option == "sidecar.adminListen"
    assert address in str(caught.value)


def test_a_port_in_use_is_said(bound):
    first = bound("127.0.0.1:0")
    first.socket.listen()
    with pytest.raises(ConfigurationError, match="Address already in use"):
        bound(first.address)
