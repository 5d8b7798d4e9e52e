"""What every service is measured by: each instrument is declared once, here or in the service that alone has it.

A series that stays away until something went wrong cannot be told from nothing having gone wrong, so who opens a
loop or a door binds the labels it will use at once. No label holds a workspace, an id or what a client wrote.
"""

from prometheus_client import Counter, Gauge

from shared.histograms import Histogram

SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Of one piece of work."""
LATENCY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200)
"""From one end of the flow to another; the limits that docs/operate/slo.md states are among them."""
RECORDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)

STARTED = Gauge(
    "afterword_started_timestamp_seconds",
    "When this process began to serve, in seconds since 1970; it changes when a process is started again in its place.",
    ["service"],
)
MEASURED = Gauge(
    "afterword_measured_timestamp_seconds",
    "When the gauges that are taken of the log and of the database were last taken, in seconds since 1970.",
    ["service", "of"],
)

HTTP_SECONDS = Histogram(
    "afterword_http_request_seconds",
    "Time to answer a request, by the template of its route.",
    ["service", "method", "route", "status"],
    buckets=SECONDS,
)
CONNECTIONS_REFUSED = Counter(
    "afterword_connections_refused_total",
    "Connections ended for what came, or did not come, before a request was whole.",
    ["reason"],
)

BATCH_SECONDS = Histogram(
    "afterword_batch_seconds",
    "Time to handle and commit one batch of records of a topic.",
    ["service", "topic"],
    buckets=SECONDS,
)
BATCH_SIZE = Histogram(
    "afterword_batch_records",
    "How many records were handled and committed together.",
    ["service", "topic"],
    buckets=RECORDS,
)
RECORDS_HANDLED = Counter(
    "afterword_records_handled_total", "Records whose effect is committed.", ["service", "topic"]
)
RECOVERED = Counter(
    "afterword_recovered_total",
    "Messages of its own that a service found in the log and not in its database, which was older, and took over again.",
    ["service", "topic"],
)
RECOVERY_LEFT = Gauge(
    "afterword_recovery_left_records",
    "Messages of its own that this process has yet to compare with its database before it is ready, counted by their"
    " offsets; of the one replica that does it, so take the largest.",
    ["service", "topic"],
)
RECORDS_SKIPPED = Counter(
    "afterword_records_skipped_total",
    "Records of a type that this version does not know.",
    ["service", "topic"],
)
RECORDS_DEAD = Counter(
    "afterword_records_dead_lettered_total",
    "Records given up: they are in the dead-letter topic with their reason.",
    ["service", "topic"],
)
STOPPED = Gauge(
    "afterword_stopped_partitions",
    "Partitions that this replica holds and stopped, which wait for an operator; add them up over replicas.",
    ["service"],
)
RETRIES = Counter(
    "afterword_dependency_retries_total",
    "Batches, steps and looks that are tried again because the log or the database was away.",
    ["service"],
)
LAG_RECORDS = Gauge(
    "afterword_consumer_lag_records",
    "Records of a topic that the whole group has not committed yet; the same in every replica, so take the largest.",
    ["service", "topic"],
)
LAG_SECONDS = Gauge(
    "afterword_consumer_lag_seconds",
    "Age of the oldest record that the whole group has not committed, 0 while it is younger than 15 s;"
    " the same in every replica, so take the largest.",
    ["service", "topic"],
)

STEP_SECONDS = Histogram(
    "afterword_step_seconds",
    "Time of one step of work that a clock or a commit made due, of those that found some.",
    ["service", "step"],
    buckets=SECONDS,
)
STEP_ROWS = Counter(
    "afterword_step_rows_total",
    "Rows that the steps dealt with; dispatch tells of those alone after which it looked for more at once.",
    ["service", "step"],
)
DUE_OLDEST_SECONDS = Gauge(
    "afterword_due_oldest_seconds",
    "How long the oldest row has been due that is not done; of the database, so take the largest over replicas.",
    ["service", "work"],
)

OUTBOX_PUBLISHED = Counter(
    "afterword_outbox_published_total", "Messages of the outbox that the log took.", ["service"]
)
OUTBOX_WAITING = Gauge(
    "afterword_outbox_waiting_rows",
    "Messages not published yet, counted up to 100,000; of the database, so take the largest over replicas.",
    ["service"],
)
OUTBOX_OLDEST_SECONDS = Gauge(
    "afterword_outbox_oldest_seconds",
    "Age of the oldest message not published yet; of the database, so take the largest over replicas.",
    ["service"],
)
OUTBOX_BLOCKED = Gauge(
    "afterword_outbox_blocked_rows",
    "Messages that the log refused for good; of the database, so take the largest over replicas.",
    ["service"],
)

DATABASE_CONNECTIONS = Gauge(
    "afterword_database_used_connections",
    "Connections of this process's pool that were in use when the gauges were taken.",
    ["service"],
)
DATABASE_CONNECTIONS_MOST = Gauge(
    "afterword_database_most_connections",
    "How many connections this process's pool may open.",
    ["service"],
)

DELIVERY_ATTEMPTS = Counter(
    "afterword_delivery_attempts_total",
    "Webhook calls by what came of them: delivered, retry, or gone (the receiver answered 410).",
    ["service", "outcome"],
)
DELIVERY_SECONDS = Histogram(
    "afterword_delivery_attempt_seconds",
    "Time of one webhook call.",
    ["service"],
    buckets=SECONDS,
)

RETENTION_ROWS_DELETED = Counter(
    "afterword_retention_rows_deleted_total",
    "Rows deleted one by one because they had been kept for long enough.",
    ["service", "data"],
)
RETENTION_RANGES_DROPPED = Counter(
    "afterword_retention_ranges_dropped_total",
    "Ranges of days dropped whole because they had been kept for long enough.",
    ["service", "data"],
)
RETENTION_OLDEST_DAY = Gauge(
    "afterword_retention_oldest_day_timestamp_seconds",
    "When the oldest day began of which something is kept, in seconds since 1970.",
    ["service", "data"],
)
