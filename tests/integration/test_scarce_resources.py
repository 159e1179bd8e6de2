"""No descriptor or thread is to be had for a moment: what fails then works afterwards, and forked children stay apart."""

import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from edgeprofile.store.endpoint import sever
from edgeprofile.store.names import Names


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError):
        os.close(os.open(os.devnull, os.O_RDONLY))
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_sockets_are_let_go_of_without_another_descriptor() -> None:
    ours, theirs = socket.socketpair()
    other, more = socket.socketpair()
    with no_more_descriptors():
        sever([ours.fileno(), -1, other.fileno()])
    for severed in (ours, other):
        with pytest.raises(OSError, match="socket"):
            severed.send(b"x")
    for left in (ours, theirs, other, more):
        left.close()


def test_a_resolver_that_could_not_begin_is_begun_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def refused(_thread: threading.Thread) -> None:
        monkeypatch.setattr(threading.Thread, "start", start)
        raise RuntimeError("can't start new thread")

    names = Names("localhost", 6379)
    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(RuntimeError, match="can't start"):
        names.resolve(5.0)
    assert names.resolve(5.0)
