"""Serve profiles over HTTP, as the Activation API does."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import edgeprofile.config
from edgeprofile.config import from_keywords, load
from edgeprofile_sidecar import logs, memory_limit
from edgeprofile_sidecar.followed import Followed
from edgeprofile_sidecar.serving import serve
from edgeprofile_sidecar.sidecar import Sidecar
from edgeprofile_sidecar.supervisor import Supervisor
from edgeprofile_sidecar.workers import Order

if TYPE_CHECKING:
    from edgeprofile.config import Config, SidecarConfig

__all__ = ["add_arguments", "main", "run"]

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--config", metavar="FILE", help="the configuration (default: what EDGEPROFILE_CONFIG names)")
    parser.add_argument(
        "--listen",
        metavar="ADDRESS",
        action="append",
        help="where to serve instead of sidecar.listen: host:port (port 0: any free one), tls:host:port or unix:/path; "
        "repeatable",
    )
    parser.add_argument("--admin-listen", metavar="ADDRESS", help="the same for probes and metrics; empty for nowhere")
    parser.add_argument(
        "--offline",
        metavar="FILE",
        help="serve the profiles of this JSON file instead of Redis, and follow its changes; without a tokens file any "
        "token opens them",
    )
    parser.add_argument(
        "--workers", metavar="N", type=_count, help="processes that share the listeners, instead of sidecar.workers"
    )
    parser.add_argument("--worker", help=argparse.SUPPRESS)  # an order of the supervisor
    parser.add_argument(
        "--check-config",
        action="store_true",
        help="print the configuration that would take effect, try the files that it names, and end",
    )
    parser.add_argument(
        "--print-addresses", action="store_true", help="when listening, print the addresses as a line of JSON"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; 0: every request was answered, 1: a second signal or drainTimeout cut that short."""
    settings = _settings(args)
    if args.check_config:
        shown = msgspec.json.encode(edgeprofile.config.effective(settings.current))
        sys.stdout.write(msgspec.json.format(shown, indent=2).decode() + "\n")
        Sidecar(settings.current, _offline(args)).check()
        _look_at_memory(settings.current)
        return 0
    if args.worker is not None:
        return _work(settings, args)
    if settings.current.sidecar.workers > 1:
        return _supervise(settings.current, args)
    return main(settings.current, offline=_offline(args), settings=settings, print_addresses=args.print_addresses)


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
    _look_at_memory(config)
    return serve(Sidecar(config, offline, settings=settings), print_addresses=print_addresses)


def _work(settings: Followed[Config], args: argparse.Namespace) -> int:
    """Serve as one of several, as the supervisor ordered."""
    order = Order.read(args.worker)
    logs.configure(worker=order.index)
    config = settings.current
    config = msgspec.structs.replace(config, sidecar=order.applied(config.sidecar))
    return serve(Sidecar(config, _offline(args), settings=settings, bound=order.bound()), supervised=True)


def _supervise(config: Config, args: argparse.Namespace) -> int:
    """Have several serve; what none of them could start with is said here, before any is started."""
    Sidecar(config, _offline(args)).check()
    logs.configure()
    _look_at_memory(config)
    given = {"--config": args.config, "--offline": args.offline}
    arguments = [word for name, value in given.items() if value for word in (name, value)]
    supervisor = Supervisor(config.sidecar, config.sidecar.workers, arguments)
    return serve(supervisor, print_addresses=args.print_addresses)


def _look_at_memory(config: Config) -> None:
    """Warn of a cache that does not fit into this container."""
    if doubt := memory_limit.doubt(config, memory_limit.limit()):
        _log.warning("%s", doubt)


def _offline(args: argparse.Namespace) -> Path | None:
    return Path(args.offline) if args.offline else None


def _settings(args: argparse.Namespace) -> Followed[Config]:
    """The configuration with the arguments over it, and the file that it is from."""
    path = args.config or os.environ.get("EDGEPROFILE_CONFIG")

    def read() -> Config:
        config = _offline_config() if args.offline and _unconfigured(args) else load(args.config)
        return msgspec.structs.replace(config, sidecar=_with_arguments(config.sidecar, args))

    return Followed("config", [Path(path)] if path else [], read)


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f'"{text}" is no number of processes: write 1 or more')
    return int(text)


def _unconfigured(args: argparse.Namespace) -> bool:
    return not (args.config or os.environ.get("EDGEPROFILE_CONFIG") or os.environ.get("EDGEPROFILE_ADDRESS"))


def _offline_config() -> Config:
    """One destination, named ``offline``: a Redis that nobody asks."""
    return from_keywords(address="localhost", cluster_mode=False, workspace_id="offline", destination_id="offline")


def _with_arguments(settings: SidecarConfig, args: argparse.Namespace) -> SidecarConfig:
    listen = args.listen and tuple(args.listen)
    given = {"listen": listen, "admin_listen": args.admin_listen, "workers": args.workers}
    changes = {name: value for name, value in given.items() if value is not None}
    return msgspec.structs.replace(settings, **changes)
