"""What monitoring asks ClickHouse: a statement of `sql/monitoring/` each, and what its rows say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final

from aspects_orchestration.errors import AspectsError, WarehouseError
from aspects_orchestration.monitoring.model import Reading, labels_of
from aspects_orchestration.settings import Settings
from aspects_orchestration.warehouse.answers import UnreachableError
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.cluster import Stored, name_of, nodes, stored
from aspects_orchestration.warehouse.statements import ddl

#: Texts of readings are remembered in a sensor's cursor.
_WHY: Final = 300
_HOUR_US: Final = 3_600_000_000
_WEEK_US: Final = 7 * 24 * _HOUR_US
#: Clocks of web servers run ahead by some seconds; a statement that is newer than that by far says nothing of lag.
_AHEAD_US: Final = 60_000_000
#: Where the newest statement is asked for once some are dated in the future: a day, then a month.
_BACK_US: Final = (24 * _HOUR_US, 32 * 24 * _HOUR_US)
#: Below a minute, what is usual need not be asked.
_USUAL_FROM_S: Final = 60.0
_EARLIER_WEEKS: Final = (1, 2, 3, 4)
#: A usual hour of fewer statements says nothing: half of it may be chance.
_ENOUGH_STATEMENTS: Final = 20
_ENOUGH_PARTS: Final = 10
#: Data count as at least so much against system logs.
_LEAST_DATA_BYTES: Final = 1 << 30
#: From here on it is worth a second query to name the partition.
_NAMED_FROM_PARTS: Final = 300
SLOW_WITHIN: Final = timedelta(hours=1)
_UNKNOWN_TABLE: Final = 60


@dataclass(frozen=True)
class SlowQuery:
    """A query of the query log.

    Attributes:
        seconds: how long it took.
        text: its first 300 characters, with `?` for every value and every unusual name.
        read_rows: how many rows it read.
    """

    seconds: float
    text: str
    read_rows: int


@dataclass(frozen=True)
class Asked:
    """What a question is asked with."""

    warehouse: Warehouse
    settings: Settings
    now: datetime

    @property
    def now_us(self) -> int:
        """Now in microseconds since 1970."""
        return round(self.now.timestamp() * 1_000_000)

    @property
    def table(self) -> dict[str, str]:
        """The raw table, as parameters."""
        return {"database": self.settings.xapi_database, "table": self.settings.raw_xapi_table}

    @property
    def stored(self) -> Stored:
        """Where the rows of the raw table lie."""
        return stored(self.warehouse, self.settings.xapi_database, self.settings.raw_xapi_table)

    @property
    def table_name(self) -> str:
        """The raw table, for people."""
        return f"{self.settings.xapi_database}.{self.settings.raw_xapi_table}"

    def rows(self, name: str, **parameters: object) -> list[tuple[Any, ...]]:
        """All rows of `sql/monitoring/<name>.sql`.

        Raises:
            WarehouseError: it cannot be read, or what answers is no ClickHouse.
        """
        statement = ddl(f"monitoring/{name}", cluster=self.warehouse.cluster, **parameters)
        try:
            return self.warehouse.rows_of(statement, step=f"monitoring/{name}")
        except AspectsError:
            raise
        except Exception as error:
            # The driver has no error of its own for an answer that it cannot read.
            raise WarehouseError(
                f"What answers at {self.warehouse.address.url} does not answer as ClickHouse does"
                f" ({type(error).__name__})",
                do="Check that CLICKHOUSE_HOST and CLICKHOUSE_PORT (HTTP: 8123, or 8443 with TLS), or"
                " ASPECTS_CLICKHOUSE_URL, are ClickHouse's, and what stands between (a proxy, a load balancer).",
            ) from None

    def reading(
        self, signal: str, value: float | None, *, why: str = "", usual: float = 0.0, **labels: str
    ) -> Reading:
        """A reading of now. A node is named on clusters only: the name of a single server changes with its container."""
        kept = {name: text for name, text in labels.items() if name != "node" or self.warehouse.cluster}
        return Reading(signal, value, self.now, 0.0, labels_of(kept), why[:_WHY], usual)


@dataclass(frozen=True)
class Question:
    """Signals that are read together.

    Attributes:
        signals: their names.
        ask: gives their readings.
    """

    signals: tuple[str, ...]
    ask: Callable[[Asked], Sequence[Reading]]


def _up(asked: Asked) -> list[Reading]:
    """Also where it does not answer this is a value: 0."""
    try:
        asked.rows("up")
    except UnreachableError as error:
        return [asked.reading("clickhouse_up", 0.0, why=str(error))]
    return [asked.reading("clickhouse_up", 1.0)]


def _lag(asked: Asked) -> list[Reading]:
    """Nearly always in the last hour: one range of the key. Else by the newest partition's bounds."""
    newest_us, why = _newest(asked)
    if newest_us is None:
        return [asked.reading("clickhouse_lag", None, why=why)]
    lag_s = max(0.0, (asked.now_us - newest_us) / 1_000_000)
    usual_s = _usual_lag_s(asked) if lag_s >= _USUAL_FROM_S else 0.0
    if usual_s:
        why = f"usual at this hour of the week: {_duration(usual_s)}. {why}".rstrip()
    return [asked.reading("clickhouse_lag", lag_s, why=why, usual=min(usual_s, lag_s))]


def _newest(asked: Asked) -> tuple[int | None, str]:
    until = asked.now_us + _AHEAD_US

    def newest_since(back_us: int) -> int | None:
        ((micros, count),) = asked.rows("lag", since=asked.now_us - back_us, until=until, **asked.table)
        return int(micros) if count else None

    found = newest_since(_HOUR_US)
    if found is not None:
        return found, ""
    ((micros, count),) = asked.rows(
        "lag_newest",
        stored_database=asked.stored.database,
        stored_table=asked.stored.table,
        **asked.table,
    )
    if not count:
        return None, (
            f"{asked.table_name} is empty: nothing has arrived yet. Load a month from the logs, or look whether the site's"
            " events reach ClickHouse"
        )
    if micros <= until:
        return int(micros), ""
    ahead = "some statements are dated in the future: look at the clocks of web servers"
    for back_us in _BACK_US:
        found = newest_since(back_us)
        if found is not None:
            return found, ahead
    return asked.now_us - _BACK_US[-1], f"older than that; {ahead}"


def _usual_lag_s(asked: Asked) -> float:
    """The second longest of earlier weeks: one outage does not make the next one usual."""
    lags = []
    for weeks in _EARLIER_WEEKS:
        for (micros,) in asked.rows("lag_usual", now=asked.now_us, week=weeks * _WEEK_US, **asked.table):
            lags.append(float(micros) / 1_000_000)
    return sorted(lags, reverse=True)[1] if len(lags) > 1 else 0.0


def _volume(asked: Asked) -> list[Reading]:
    found = {int(weeks): int(count) for weeks, count in asked.rows("volume", now=asked.now_us, **asked.table)}
    rows = found.get(0, 0)
    earlier = [found.get(weeks, 0) for weeks in _EARLIER_WEEKS]
    usual = float(median(earlier))
    share, why = 1.0, f"{rows:,} statements, usual are {usual:,.0f}"
    if sum(count > 0 for count in earlier) < 3:
        why = f"{rows:,} statements; there are not yet three earlier weeks to compare with"
    elif usual < _ENOUGH_STATEMENTS:
        why += f": too few to compare (under {_ENOUGH_STATEMENTS})"
    else:
        share = rows / usual
    return [
        asked.reading("clickhouse_rows_last_hour", rows),
        asked.reading("clickhouse_hourly_volume", share, why=why),
    ]


def _metrics(asked: Asked) -> list[Reading]:
    found = []
    for node, queries, delayed, files in asked.rows("metrics"):
        found += [
            asked.reading("clickhouse_queries", float(queries), node=node),
            asked.reading("clickhouse_delayed_inserts", float(delayed), node=node),
            asked.reading("clickhouse_distributed_files", float(files), node=node),
        ]
    return found


def _events(asked: Asked) -> list[Reading]:
    found = []
    for node, rejected, lost, merges, mutations in asked.rows("events"):
        found += [
            asked.reading("clickhouse_rejected_inserts", float(rejected), node=node),
            asked.reading("clickhouse_replicated_data_loss", float(lost), node=node),
            asked.reading("clickhouse_merges_differ", float(merges), node=node),
            asked.reading("clickhouse_mutations_differ", float(mutations), node=node),
        ]
    return found


def _max_parts(asked: Asked) -> list[Reading]:
    """As the server counts; where it does not, or may not say so, by its list of parts, which takes longer."""
    try:
        counted = [(node, float(parts)) for node, parts in asked.rows("max_parts_metric")]
    except WarehouseError as error:
        if error.code is None:
            raise
        counted = []
    if counted and max(parts for _, parts in counted) < _NAMED_FROM_PARTS:
        return [asked.reading("clickhouse_max_parts", parts, node=node) for node, parts in counted]
    _require_sight(asked)
    listed = {node: (float(parts), str(of)) for node, parts, of in asked.rows("max_parts")}
    if not counted:
        counted = [(node, 0.0) for node in _nodes(asked)]
    return [
        asked.reading(
            "clickhouse_max_parts",
            max(parts, listed.get(node, (0.0, ""))[0]),
            why=listed.get(node, (0.0, ""))[1],
            node=node,
        )
        for node, parts in counted
    ]


def _stuck_replication(asked: Asked) -> list[Reading]:
    _require_sight(asked)
    found = {node: float(tasks) for node, tasks in asked.rows("stuck_replication")}
    return [
        asked.reading("clickhouse_stuck_replication", found.get(node, 0.0), node=node)
        for node in {*_nodes(asked), *found}
    ]


def _uptime(asked: Asked) -> list[Reading]:
    found = []
    for node, started_at, uptime_s in asked.rows("uptime"):
        since = f"up since {datetime.fromtimestamp(started_at, UTC):%Y-%m-%d %H:%M:%S} UTC"
        found += [
            asked.reading("clickhouse_uptime", float(uptime_s), node=node),
            asked.reading("clickhouse_restart", float(started_at), why=since, node=node),
        ]
    return found


def _disks(asked: Asked) -> list[Reading]:
    found = [
        asked.reading(
            "clickhouse_disk_free",
            free / total,
            why=f"{free / 1e9:,.1f} GB of {total / 1e9:,.1f} GB free",
            disk=disk,
            node=node,
        )
        for node, disk, free, total in asked.rows("disks")
    ]
    # Object storage is without end.
    return found or [asked.reading("clickhouse_disk_free", 1.0, why="no disk here has a size")]


def _system_logs(asked: Asked) -> list[Reading]:
    _require_sight(asked)
    return [
        asked.reading(
            "clickhouse_system_logs",
            logs / max(data, _LEAST_DATA_BYTES),
            why=f"logs {logs / 1e9:,.2f} GB, data {data / 1e9:,.2f} GB",
            node=node,
        )
        for node, logs, data in asked.rows("system_logs")
    ] or [asked.reading("clickhouse_system_logs", 0.0, why="no table has data yet")]


def _slow_queries(asked: Asked) -> list[Reading]:
    found = slowest(asked, SLOW_WITHIN)
    worst = found[0] if found else SlowQuery(0.0, "no query has finished", 0)
    return [asked.reading("clickhouse_slow_queries", worst.seconds, why=worst.text[:200])]


def slowest(asked: Asked, within: timedelta) -> list[SlowQuery]:
    """The ten slowest kinds of queries of a stretch of time until now, slowest first."""
    rows = _optional(asked, "slow_queries", since=asked.now - within)
    return [SlowQuery(ms / 1000, " ".join(str(text).split()), int(read)) for ms, text, read in rows]


def _rows_per_insert(asked: Asked) -> list[Reading]:
    ((of_hour, median_of_hour, of_day, median_of_day),) = _optional(
        asked, "rows_per_insert", now=asked.now, **asked.stored.names()
    )
    name = "clickhouse_rows_per_insert"
    if not of_day:
        why = f"nothing was inserted into {asked.table_name} in the last day; see clickhouse_lag"
        return [asked.reading(name, None, why=why)]
    if of_hour >= _ENOUGH_PARTS:
        return [asked.reading(name, float(median_of_hour), why=f"of {of_hour:,} new parts in an hour")]
    return [asked.reading(name, float(median_of_day), why=f"of {of_day:,} new parts in a day")]


def _nodes_missing(asked: Asked) -> list[Reading]:
    configured = list(dict.fromkeys(node.address for node in nodes(asked.warehouse, asked.warehouse.cluster)))
    name = name_of(asked.warehouse, asked.warehouse.cluster)
    answered = {
        str(node): set(addresses) for node, addresses in asked.rows("nodes_answering", cluster_name=name)
    }
    missing = max(0, len(configured) - len(answered))
    why = f"{len(answered)} of {len(configured)} nodes answer"
    silent = set(configured).difference(*answered.values())
    if missing and len(silent) == missing:
        why += f"; not {', '.join(sorted(silent))}"
    elif missing:
        # A node that does not find itself in the configuration cannot say which of its addresses it has.
        why += f": {', '.join(sorted(answered))}; configured are {', '.join(sorted(configured))}"
    return [asked.reading("clickhouse_nodes_missing", float(missing), why=why)]


QUESTIONS: Final = (
    Question(("clickhouse_up",), _up),
    Question(("clickhouse_lag",), _lag),
    Question(("clickhouse_rows_last_hour", "clickhouse_hourly_volume"), _volume),
    Question(("clickhouse_queries", "clickhouse_delayed_inserts", "clickhouse_distributed_files"), _metrics),
    Question(
        (
            "clickhouse_rejected_inserts",
            "clickhouse_replicated_data_loss",
            "clickhouse_merges_differ",
            "clickhouse_mutations_differ",
        ),
        _events,
    ),
    Question(("clickhouse_max_parts",), _max_parts),
    Question(("clickhouse_stuck_replication",), _stuck_replication),
    Question(("clickhouse_uptime", "clickhouse_restart"), _uptime),
    Question(("clickhouse_disk_free",), _disks),
    Question(("clickhouse_system_logs",), _system_logs),
    Question(("clickhouse_slow_queries",), _slow_queries),
    Question(("clickhouse_rows_per_insert",), _rows_per_insert),
    Question(("clickhouse_nodes_missing",), _nodes_missing),
)


def _nodes(asked: Asked) -> list[str]:
    return [str(node) for node, _, _ in asked.rows("uptime")]


_SWITCHED_ON_BY: Final[Mapping[str, str]] = {"slow_queries": "query_log", "rows_per_insert": "part_log"}


def _optional(asked: Asked, name: str, **parameters: object) -> list[tuple[Any, ...]]:
    """Rows of a log that servers may be without."""
    try:
        return asked.rows(name, **parameters)
    except WarehouseError as error:
        if error.code != _UNKNOWN_TABLE:
            raise
        log = _SWITCHED_ON_BY[name]
        raise WarehouseError(
            f"The server has no system.{log}",
            do=f"Switch it on: `<{log}>` in the server's configuration (it appears with the first thing that is logged).",
        ) from None


def _require_sight(asked: Asked) -> None:
    """Without SHOW TABLES, tables such as system.parts leave out rows in silence: few parts would look like good news."""
    try:
        ((may,),) = asked.rows("may_see_tables")
    except WarehouseError as error:
        if error.code is None or error.code == 497:
            raise
        return  # servers before 24.10 cannot be asked
    if not may:
        user = asked.warehouse.address.user
        raise WarehouseError(
            f"ClickHouse at {asked.warehouse.address.url}: user {user} may not see every table",
            do=f"Run: GRANT SHOW TABLES ON *.* TO `{user}`. sql/grants.sql has all that the pipeline's user needs.",
        )


def _duration(seconds: float) -> str:
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
