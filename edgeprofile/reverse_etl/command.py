"""Bring the features of a Profiles project from its warehouse to Redis.

Exit code 0: everything was delivered; 1: some rows were not or are sent again, or it was cancelled; 2: it did not run.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgeprofile.config import load
from edgeprofile.errors import AmbiguousDestination, ConfigurationError, EdgeProfileError, UnknownDestination
from edgeprofile.reverse_etl import schedule
from edgeprofile.reverse_etl.cancel import cancellable
from edgeprofile.reverse_etl.contact import reach
from edgeprofile.reverse_etl.errors import DeliveryStopped, SyncCancelled, WarehouseError
from edgeprofile.reverse_etl.jobs import make_job
from edgeprofile.reverse_etl.leftover import leftovers, removal
from edgeprofile.reverse_etl.preview import dry_run, preview
from edgeprofile.reverse_etl.progress import progress_for
from edgeprofile.reverse_etl.project import read_project
from edgeprofile.reverse_etl.siteconfig import locate
from edgeprofile.reverse_etl.state import State
from edgeprofile.reverse_etl.sync import Report, SourceSync
from edgeprofile.reverse_etl.tables import plan_text, status_text
from edgeprofile.reverse_etl.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgeprofile.config import Config, Destination
    from edgeprofile.reverse_etl.jobs import Job
    from edgeprofile.reverse_etl.leftover import Leftover
    from edgeprofile.reverse_etl.preview import Preview
    from edgeprofile.reverse_etl.project import Project, Source
    from edgeprofile.reverse_etl.settings import SyncConfig
    from edgeprofile.reverse_etl.sync import Observer
    from edgeprofile.reverse_etl.warehouse import Session

__all__ = ["Asked", "Sync", "add_arguments", "run"]

DELIVERED, SOME_FAILED, DID_NOT_RUN = 0, 1, 2
_DRY_RUN_ROWS = 10
_OF_RUNS = ("full", "allow_deletions", "plan", "dry_run", "remove", "watch", "cron")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", nargs="?", choices=["status"], help="status: show the last runs instead")
    parser.add_argument("--config", metavar="FILE", help="the configuration (default: what EDGEPROFILE_CONFIG names)")
    parser.add_argument("--full", action="store_true", help="send every row, whatever has changed")
    parser.add_argument(
        "--allow-deletions", action="store_true", help='let mode = "mirror" delete more than maxDeletedShare, this once'
    )
    parser.add_argument("--json", action="store_true", help="print a summary as JSON, and no progress")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--plan", action="store_true", help="show sources, views, keys, columns and mode; write nothing")
    what.add_argument(
        "--dry-run",
        metavar="N",
        nargs="?",
        type=_count,
        const=_DRY_RUN_ROWS,
        help=f"print the commands for the first N rows of each source (default {_DRY_RUN_ROWS}); write nothing",
    )
    what.add_argument("--remove", metavar="VIEW", help="delete what a view sent that is no longer in the project")
    what.add_argument("--watch", metavar="DURATION", help="sync now and then every so often, such as 15m")
    what.add_argument("--cron", metavar="EXPRESSION", help='sync whenever this says, in UTC, such as "0 * * * *"')


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    if args.action == "status":
        _refuse_options_of_runs(args)
    sync = Sync.of(load(args.config), is_syncing=args.action is None and args.remove is None)
    if args.action == "status":
        return sync.status(as_json=args.json)
    asked = Asked(full=args.full, allow_deletions=args.allow_deletions, remove=args.remove)
    if args.plan:
        return sync.plan(asked, as_json=args.json)
    if args.dry_run:
        return sync.dry_run(asked, rows=args.dry_run)
    try:
        with cancellable():
            return _repeated(sync, args, asked)
    except SyncCancelled:
        return SOME_FAILED


def _repeated(sync: Sync, args: argparse.Namespace, asked: Asked) -> int:
    if args.watch is not None:
        return sync.watch(schedule.every(args.watch), asked, at_once=True, as_json=args.json)
    if args.cron is not None:
        return sync.watch(schedule.by_cron(args.cron), asked, at_once=False, as_json=args.json)
    return sync.once(asked, as_json=args.json)


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f'"{text}" is no number of rows: write 1 or more')
    return int(text)


def _refuse_options_of_runs(args: argparse.Namespace) -> None:
    for name in _OF_RUNS:
        if getattr(args, name) not in {None, False}:
            raise ConfigurationError(
                "has no meaning with status, which shows the last runs: leave one of the two out",
                option=f"--{name.replace('_', '-')}",
            )


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a run beyond the configuration: to send every row, to delete however many left the view.

    ``remove``: instead, to delete what this view sent, which is no longer in the project.
    """

    full: bool = False
    allow_deletions: bool = False
    remove: str | None = None


_NOTHING = Asked()


class Sync:
    """All sources of a project, one warehouse, one destination."""

    def __init__(self, config: SyncConfig, project: Project, destination: Destination) -> None:
        self._config = config
        self._project = project
        self._destination = destination
        self._owed: dict[Source, Asked] = {}
        self._warehouse = Warehouse(
            locate(config, project.connection),
            view_schema=config.schema,
            state_schema=config.state_schema,
            memory=config.warehouse_memory,
        )

    @classmethod
    def of(cls, config: Config, *, is_syncing: bool = True) -> Sync:
        """Read the project that the configuration names. Raises ``ConfigurationError`` and its kin.

        Unless ``is_syncing``, the project may have no view any more, or none of one that is configured.
        """
        if config.sync is None:
            raise ConfigurationError(
                "is missing: say where the Profiles project and its warehouse are, for example\n\n"
                '    [sync]\n    project = "path/to/project"\n    warehouse = "duckdb://warehouse.duckdb"',
                option="[sync]",
            )
        folder = Path(config.sync.project)
        project = read_project(folder, default_view=config.sync.default_view, may_be_empty=not is_syncing)
        if is_syncing:
            _refuse_unknown_sources(config.sync, project)
        return cls(config.sync, project, _destination(config))

    def once(self, asked: Asked = _NOTHING, *, as_json: bool = False, observe: Observer | None = None) -> int:
        """Sync every source once; returns the exit code, the worst of all sources."""
        reports: list[Report] = []
        code = SOME_FAILED
        try:
            with progress_for(as_json=as_json) if observe is None else nullcontext(observe) as told:
                code = self._all(asked, reports=reports, observe=told)
        except EdgeProfileError:
            code = DID_NOT_RUN
            raise
        finally:
            if as_json:
                _print_json({"sources": reports, "exitCode": code})
        return code

    def watch(self, following: Callable[[datetime], datetime], asked: Asked, *, at_once: bool, as_json: bool) -> int:
        """Sync again and again; ``asked`` holds for each source's first run. A signal between two runs ends it, with 0."""
        self._owed = dict.fromkeys(self._project.sources, asked)
        due = datetime.now(UTC) if at_once else following(datetime.now(UTC))
        while _slept_until(due):
            started = datetime.now(UTC)
            try:
                self.once(as_json=as_json)
            except EdgeProfileError as error:
                sys.stderr.write(f"edgeprofile: {error}\n")
            due = following(started)
        return DELIVERED

    def plan(self, asked: Asked, *, as_json: bool) -> int:
        """Show what a sync would do."""
        with self._warehouse.open() as session:
            jobs = [make_job(session, one, self._config, self._destination) for one in self._project.sources]
            previews = [_previewed(session, job, asked) for job in jobs]
            notices = tuple(self._notices(session))
        if as_json:
            _print_json({"sources": previews, "notices": notices})
        else:
            sys.stdout.write(plan_text(previews, notices))
        return DELIVERED

    def dry_run(self, asked: Asked, *, rows: int) -> int:
        """Print the commands for the first rows of each source."""
        with self._warehouse.open() as session:
            for source in self._project.sources:
                job = make_job(session, source, self._config, self._destination)
                if refused := _previewed(session, job, asked).refused:
                    sys.stderr.write(f"edgeprofile: {source.name}: refused: {refused}\n")
                for line in dry_run(session, job, full=asked.full, rows=rows):
                    sys.stdout.write(f"{line}\n")
        return DELIVERED

    def status(self, *, as_json: bool) -> int:
        """Show the last runs."""
        with self._warehouse.open() as session:
            runs = State(session).runs()
        if as_json:
            _print_json({"runs": [{_camel(name): value for name, value in run.items()} for run in runs]})
        else:
            sys.stdout.write(status_text(runs))
        return DELIVERED

    def _all(self, asked: Asked, *, reports: list[Report], observe: Observer) -> int:
        codes = [DELIVERED]
        reach(self._destination.config, self._config.timeout)
        with self._warehouse.open() as session:
            for source, job in self._tasks(session, asked):
                before = len(reports)

                def seen(report: Report, phase: str, source: Source = source) -> None:
                    if report not in reports:
                        reports.append(report)
                    if phase == "delivering":  # from here on the next run makes up for this one, whatever becomes of it
                        self._owed.pop(source, None)
                    observe(report, phase)

                try:
                    codes.append(self._one(session, job, seen, self._owed.get(source, asked)))
                except Exception as error:  # noqa: BLE001  # a source that cannot be synced is no reason not to sync the next
                    _say(source, _told(error))
                    codes.append(SOME_FAILED if isinstance(error, DeliveryStopped) else DID_NOT_RUN)
                    if len(reports) == before:
                        reports.append(_not_run(source, error))
        return max(codes)

    def _tasks(self, session: Session, asked: Asked) -> Iterator[tuple[Source, Callable[[], Job]]]:
        return self._syncs(session) if asked.remove is None else self._removals(session, asked.remove)

    def _syncs(self, session: Session) -> Iterator[tuple[Source, Callable[[], Job]]]:
        for notice in self._notices(session):
            sys.stderr.write(f"edgeprofile: {notice}\n")
        for source in self._project.sources:
            yield source, partial(make_job, session, source, self._config, self._destination)

    def _removals(self, session: Session, view: str) -> Iterator[tuple[Source, Callable[[], Job]]]:
        left = self._left(session)
        found = [one for one in left if one.view == view]
        if not found:
            raise ConfigurationError(_not_left(view, left, self._project), option="--remove")
        for one in found:
            yield one.source, partial(removal, session, one, self._destination)

    def _notices(self, session: Session) -> Iterator[str]:
        yield from self._project.notices
        try:
            yield from map(str, self._left(session))
        except WarehouseError as error:
            yield f"what is no longer in the project was not looked for: {error}"

    def _left(self, session: Session) -> list[Leftover]:
        return leftovers(session, self._project.sources, self._destination)

    def _one(self, session: Session, make: Callable[[], Job], observe: Observer, asked: Asked) -> int:
        session.revive()  # one source's lost session is not the next one's
        job = make()
        for notice in job.notices:
            sys.stderr.write(f"edgeprofile: {notice}\n")
        tell = partial(_say, job.source)
        run = SourceSync(session, self._config, self._destination.config, observe, tell=tell)
        report = run.run(job, full=asked.full, allow_deletions=asked.allow_deletions)
        if report.error:
            _say(job.source, report.error)
        return DELIVERED if report.status == "succeeded" else SOME_FAILED


def _not_left(view: str, left: list[Leftover], project: Project) -> str:
    if any(view in source.views for source in project.sources):
        return f"{view} is still in the project: take it out of there first, or every sync writes it again"
    known = ", ".join(sorted(one.view for one in left)) or "nothing"
    return f"no sync has left anything of {view!r} in Redis that it knows of; what left the project: {known}"


def _previewed(session: Session, job: Job, asked: Asked) -> Preview:
    return preview(session, job, full=asked.full, allow_deletions=asked.allow_deletions)


def _say(source: Source, what: str) -> None:
    sys.stderr.write(f"edgeprofile: {source.name}: {what}\n")
    sys.stderr.flush()


def _told(error: Exception) -> str:
    if isinstance(error, DeliveryStopped):
        return f"stopped: {error}"
    if isinstance(error, EdgeProfileError):
        return str(error)
    return f"{type(error).__name__}: {error} (this is a bug of ours)"


def _not_run(source: Source, error: Exception) -> Report:
    return Report(source=source.name, view=source.views[0], connection_id="", status="refused", error=_told(error))


def _slept_until(due: datetime) -> bool:
    """Whether nobody ended the wait."""
    try:
        time.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
    except SyncCancelled:
        return False
    return True


def _refuse_unknown_sources(config: SyncConfig, project: Project) -> None:
    known = {(source.entity, source.id_type) for source in project.sources}
    for index, own in enumerate(config.sources):
        if (own.entity, own.id) not in known:
            listed = ", ".join(sorted(f"{entity} by {identity}" for entity, identity in known))
            raise ConfigurationError(
                f"the project has no feature view of {own.entity} by {own.id}; it has: {listed}",
                option=f"sync.sources[{index}]",
            )


def _destination(config: Config) -> Destination:
    known = tuple(one.id for one in config.destinations)
    wanted = config.sync.destination if config.sync else ""
    if wanted:
        found = next((one for one in config.destinations if one.id == wanted), None)
        if found is None:
            raise UnknownDestination(wanted, known)
    elif len(config.destinations) == 1:
        found = config.destinations[0]
    else:
        raise AmbiguousDestination(known)
    if found.layout != "profiles":
        raise ConfigurationError(
            f'destination {found.id} has layout = "{found.layout}"; a sync writes profiles', option="sync.destination"
        )
    return found


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _print_json(value: Any) -> None:
    sys.stdout.write(f"{msgspec.json.encode(value).decode()}\n")
    sys.stdout.flush()
