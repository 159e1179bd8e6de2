"""What tests leave behind is found, named, and waited for first."""

import subprocess
import sys
import threading

import pytest

from tests.support.leaks import none_left


def test_a_thread_that_does_not_end_is_named():
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="forgotten")
    try:
        with pytest.raises(AssertionError, match="forgotten"), none_left(0.01):
            thread.start()
    finally:
        stop.set()
        thread.join()


def test_a_thread_of_the_product_counts_though_it_is_a_daemon():
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="edgeprofile-engine", daemon=True)
    try:
        with pytest.raises(AssertionError, match="edgeprofile-engine"), none_left(0.01):
            thread.start()
    finally:
        stop.set()
        thread.join()


def test_a_thread_may_take_a_moment_to_end():
    stop = threading.Event()
    with none_left():
        threading.Thread(target=stop.wait).start()
        threading.Thread(target=stop.set, daemon=True).start()


def test_a_child_process_is_named():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child.communicate(b"\n")
    with pytest.raises(AssertionError, match="input"), none_left(0.01):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child.communicate(b"\n")
