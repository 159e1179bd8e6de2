"""Serve profiles over HTTP, as the Activation API does."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import edgeprofile.config
from edgeprofile.config import from_keywords, load
from edgeprofile_sidecar import logs
from edgeprofile_sidecar.followed import Followed
from edgeprofile_sidecar.sidecar import Sidecar

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Callable, Coroutine
    from typing import Any

    from edgeprofile.config import Config, SidecarConfig

__all__ = ["add_arguments", "main", "run"]

DRAINED, CUT_SHORT = 0, 1

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--config", metavar="FILE", help="the configuration (default: what EDGEPROFILE_CONFIG names)")
    parser.add_argument(
        "--listen",
        metavar="ADDRESS",
        action="append",
        help="where to serve instead of sidecar.listen: host:port (port 0: any free one) or unix:/path; repeatable",
    )
    parser.add_argument("--admin-listen", metavar="ADDRESS", help="the same for probes and metrics; empty for nowhere")
    parser.add_argument(
        "--offline",
        metavar="FILE",
        help="serve the profiles of this JSON file instead of Redis, and follow its changes; without a tokens file any "
        "token opens them",
    )
    parser.add_argument(
        "--check-config", action="store_true", help="print the configuration that would take effect, and end"
    )
    parser.add_argument(
        "--print-addresses", action="store_true", help="when listening, print the addresses as a line of JSON"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; 0: every request was answered, 1: a second signal cut that short."""
    settings = _settings(args)
    if args.check_config:
        shown = msgspec.json.encode(edgeprofile.config.effective(settings.current))
        sys.stdout.write(msgspec.json.format(shown, indent=2).decode() + "\n")
        return 0
    offline = Path(args.offline) if args.offline else None
    return main(settings.current, offline=offline, settings=settings, print_addresses=args.print_addresses)


def main(
    config: Config,
    *,
    offline: Path | None = None,
    settings: Followed[Config] | None = None,
    print_addresses: bool = False,
) -> int:
    """Serve until SIGTERM or SIGINT, on uvloop where it is installed; logs go to standard error.

    With ``offline``, a file of profiles is served instead of Redis. ``settings`` is the file that the configuration is
    from, to be followed.

    Raises:
        ConfigurationError: An address or the tokens file cannot be used.
    """
    logs.configure()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(Sidecar(config, offline, settings=settings), print_addresses=print_addresses))


async def _serve(sidecar: Sidecar, *, print_addresses: bool) -> int:
    told, told_again = _signals()
    async with sidecar, _reloading(sidecar):
        addresses = sidecar.addresses._asdict()
        _log.info("listening", extra=addresses)
        if print_addresses:
            sys.stdout.write(msgspec.json.encode(addresses).decode() + "\n")
            sys.stdout.flush()
        await told.wait()
        _log.info("draining")
        drained = await _first(sidecar.drain(), told_again)
    _log.info("stopped", extra={"drained": drained})
    return DRAINED if drained else CUT_SHORT


@asynccontextmanager
async def _reloading(sidecar: Sidecar) -> AsyncIterator[None]:
    """Read every file again at each SIGHUP."""
    loop = asyncio.get_running_loop()
    tasks = set[asyncio.Task[None]]()

    def reload() -> None:
        task = loop.create_task(sidecar.reload())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _settings(args: argparse.Namespace) -> Followed[Config]:
    """The configuration with the arguments over it, and the file that it is from."""
    path = args.config or os.environ.get("EDGEPROFILE_CONFIG")

    def read() -> Config:
        config = _offline_config() if args.offline and _unconfigured(args) else load(args.config)
        return msgspec.structs.replace(config, sidecar=_with_arguments(config.sidecar, args))

    return Followed("config", [Path(path)] if path else [], read)


def _signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Events for the first and the second request to stop."""
    told, told_again = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def tell() -> None:
        (told_again if told.is_set() else told).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tell)
    return told, told_again


async def _first(work: Coroutine[Any, Any, None], unless: asyncio.Event) -> bool:
    """Whether the work was done before the event came; otherwise it is given up."""
    working, waiting = asyncio.create_task(work), asyncio.create_task(unless.wait())
    done, left = await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    return working in done


def _unconfigured(args: argparse.Namespace) -> bool:
    return not (args.config or os.environ.get("EDGEPROFILE_CONFIG") or os.environ.get("EDGEPROFILE_ADDRESS"))


def _offline_config() -> Config:
    """One destination, named ``offline``: a Redis that nobody asks."""
    return from_keywords(address="localhost", cluster_mode=False, workspace_id="offline", destination_id="offline")


def _with_arguments(settings: SidecarConfig, args: argparse.Namespace) -> SidecarConfig:
    given = {"listen": args.listen and tuple(args.listen), "admin_listen": args.admin_listen}
    changes = {name: value for name, value in given.items() if value is not None}
    return msgspec.structs.replace(settings, **changes)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415  # an option of the platform
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
