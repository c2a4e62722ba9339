"""What is watched of ClickHouse.

Thresholds are those of Aspects' guide to production ("Monitoring ClickHouse") and of ClickHouse's own defaults, where a
comment does not say otherwise. A value on a threshold counts as beyond it, so "more than 300 parts" is 301.
"""

from typing import Final

from aspects_orchestration.monitoring.model import Rule, Signal

#: A counter that should never grow: one more is worth a look, and the next reading without one clears it.
_ANY_INCREASE: Final = Rule(warn=1, of="increase")
_ANY_INCREASE_IS_CRITICAL: Final = Rule(critical=1, of="increase")

SIGNALS: tuple[Signal, ...] = (
    Signal(
        "clickhouse_up",
        "ClickHouse answers",
        "1 or 0",
        Rule(worse="below", critical=0, for_ticks=2, clear_ticks=1),
        "Without it nothing is stored, and no other signal of it can be read.",
        "Look whether the server runs and is not overloaded, and whether the address and password in the settings are its.",
        "clickhouse",
    ),
    Signal(
        "clickhouse_lag",
        "Age of the newest statement",
        "s",
        Rule(warn=900, critical=3600, for_ticks=2, margin=0.1),
        "Statements that are not there are missing from every report. Counted beyond what is usual at this hour of the week:"
        " the second longest of the same time in the four weeks before.",
        "Look at the queues and services in front of ClickHouse (Celery, Redis, Kafka, Vector, Ralph), in the order in which"
        " a statement passes them; when they flow again, load the hours that are missing from the logs: job replay_window.",
        "clickhouse",
    ),
    Signal(
        "clickhouse_rows_last_hour",
        "Statements of the last hour",
        "rows",
        Rule(),
        "The number itself, to be plotted; clickhouse_hourly_volume judges it.",
        "Nothing: it has no threshold.",
        "clickhouse",
    ),
    Signal(
        "clickhouse_hourly_volume",
        "Statements of the last hour against the same hour of earlier weeks",
        "share of the usual",
        Rule(worse="below", warn=0.5, critical=0.1, for_ticks=3, margin=0.1),
        "A part of the events is lost or late: a worker, a web server or a log shipper has stopped while others go on. The"
        " usual is the median of the same hour in the four weeks before.",
        "Look whether fewer people use the site (a holiday); else whether every LMS worker, CMS worker and Vector runs, then"
        " compare with the logs hour by hour: job check_xapi_gaps.",
        "clickhouse",
    ),
    Signal(
        "clickhouse_max_parts",
        "Most parts in one partition (MaxPartCountForPartition)",
        "parts",
        # ClickHouse slows inserts down from parts_to_delay_insert, 1000 by default.
        Rule(warn=301, critical=1000, for_ticks=2, margin=0.1),
        "Merges do not keep up with inserts; soon inserts are slowed down, then refused.",
        "Turn batching on in front of ClickHouse or make batches larger, pause loads of old months, and look at"
        " system.merges and the disks.",
        "clickhouse",
        ("node",),
    ),
    Signal(
        "clickhouse_delayed_inserts",
        "Inserts that are being slowed down (DelayedInserts)",
        "inserts",
        Rule(warn=1, for_ticks=2),
        "A partition has so many parts that ClickHouse slows inserts down.",
        "As for clickhouse_max_parts.",
        "clickhouse",
        ("node",),
    ),
    Signal(
        "clickhouse_queries",
        "Queries that are running (Query)",
        "queries",
        # ClickHouse's max_concurrent_queries was 100 by default for long, and is in many configurations.
        Rule(warn=50, critical=90, for_ticks=3, margin=0.1),
        "More than usual means that queries are slow or somebody asks too many; beyond max_concurrent_queries they are"
        " refused.",
        "Look at system.processes for what runs longest, and at clickhouse_slow_queries.",
        "clickhouse",
        ("node",),
    ),
    Signal(
        "clickhouse_distributed_files",
        "Files waiting to be sent to other shards (DistributedFilesToInsert)",
        "files",
        Rule(warn=1, of="growing", for_ticks=5),
        "Rows that were inserted on one node do not reach the others as fast as they come.",
        "Look at system.distribution_queue for the last exception, and whether every node is reachable from the others.",
        "clickhouse",
        ("node",),
    ),
    Signal(
        "clickhouse_rejected_inserts",
        "Inserts that were refused because of too many parts (RejectedInserts)",
        "inserts",
        Rule(warn=1, critical=100, of="increase"),
        "What was refused is lost unless the sender tries again.",
        "As for clickhouse_max_parts; then load the hours since then from the logs: job replay_window.",
        "clickhouse",
        ("node",),
    ),
    Signal(
        "clickhouse_replicated_data_loss",
        "Parts that no replica has any more (ReplicatedDataLoss)",
        "parts",
        _ANY_INCREASE_IS_CRITICAL,
        "Data are lost on every replica.",
        "Look in the servers' logs for the part's name, then load its month again from the logs: asset xapi_events_all.",
        "clickhouse",
        ("node",),
    ),
    Signal(
        "clickhouse_merges_differ",
        "Merges with another result than on other replicas (DataAfterMergeDiffersFromReplica)",
        "parts",
        _ANY_INCREASE,
        "Replicas of different versions or with damaged memory or disks; ClickHouse fetches the part from another replica.",
        "Bring all replicas to one version, and check memory and disks of the node that is named.",
        "clickhouse",
        ("node",),
    ),
    Signal(
        "clickhouse_mutations_differ",
        "Mutations with another result than on other replicas (DataAfterMutationDiffersFromReplica)",
        "parts",
        _ANY_INCREASE,
        "As for clickhouse_merges_differ, or a mutation that is not deterministic.",
        "As for clickhouse_merges_differ; and look in system.mutations for functions such as now() or rand().",
        "clickhouse",
        ("node",),
    ),
    Signal(
        "clickhouse_stuck_replication",
        "Replication tasks tried or postponed more than 100 times",
        "tasks",
        Rule(warn=1, for_ticks=2),
        "A replica does not get what the others have.",
        "Look at last_exception and postpone_reason in system.replication_queue of the node.",
        "clickhouse",
        ("node",),
    ),
    Signal(
        "clickhouse_uptime",
        "Time since the server was started",
        "s",
        Rule(),
        "The number itself, to be plotted; clickhouse_restart tells of a reset.",
        "Nothing: it has no threshold.",
        "clickhouse",
        ("node",),
    ),
    Signal(
        "clickhouse_restart",
        "Seconds by which the server's start has moved since the reading before",
        "s",
        # Its clock and its uptime are cut to seconds each, and NTP may set the clock by some.
        Rule(warn=10, of="increase", clear_ticks=1),
        "The server was restarted. Nobody did it: it crashed or ran out of memory.",
        "Look in the server's log before that time (system.crash_log, the kernel's out-of-memory killer).",
        "clickhouse",
        ("node",),
    ),
    Signal(
        "clickhouse_disk_free",
        "Free space of a disk",
        "share",
        Rule(worse="below", warn=0.2, critical=0.1, for_ticks=2, margin=0.05),
        "Merges need room of the size of what they merge; on a full disk inserts fail.",
        "Enlarge the disk, or shorten what is kept: docs/retention.md. See clickhouse_system_logs too.",
        "clickhouse",
        ("disk", "node"),
    ),
    Signal(
        "clickhouse_system_logs",
        "Size of system.*_log tables against the data",
        "share",
        Rule(warn=1.0, for_ticks=2, margin=0.1),
        "ClickHouse's own logs take more room than what they are about. Data count as at least 1 GiB, so that a new site has"
        " its peace.",
        "Give these tables a TTL: system_logs in retention.yaml (docs/retention.md), or `<ttl>` in the server's"
        " configuration.",
        "clickhouse",
        ("node",),
    ),
    Signal(
        "clickhouse_slow_queries",
        "Slowest query of the last hour",
        "s",
        Rule(),
        "To look at: dashboards that wait, and queries that hold up inserts. The report lists the ten slowest.",
        "Look whether the query is somebody's dashboard or a job, and whether it reads more than the months that it needs.",
        "clickhouse",
    ),
    Signal(
        "clickhouse_rows_per_insert",
        "Median rows of the raw table's new parts",
        "rows",
        Rule(worse="below", warn=99.5, for_ticks=3),
        "Many small inserts cost ClickHouse far more than few large ones, and end in too many parts.",
        "Turn batching on in front of ClickHouse (EVENT_ROUTING_BACKEND_BATCHING_ENABLED, or Vector's and Ralph's own).",
        "clickhouse",
    ),
    Signal(
        "clickhouse_nodes_missing",
        "Nodes of the cluster that do not answer",
        "nodes",
        Rule(critical=1, for_ticks=2),
        "Their shard is lost to queries, or there is one copy less of it. What is read by node is not read of them.",
        "Look whether the server of the node that is named runs and is reachable from the one in the settings.",
        "clickhouse",
    ),
)
