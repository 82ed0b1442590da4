"""Reads a run's raw samples with DuckDB and with pandas, each by itself, and prints what each found as JSON."""

import json
import math
import sys

import duckdb
import pandas

SAMPLES = sys.argv[1]

# Durations in ns. What was answered has a latency; so has what hung, and in the test nothing does.
DURATIONS = {
    "latency": ("ended_ns", "intended_ns"),
    "service": ("ended_ns", "sent_ns"),
    "lag": ("sent_ns", "ready_ns"),
    "wait": ("first_byte_ns", "body_done_ns"),
}


def percentiles(durations):
    durations = sorted(durations)
    rank = lambda share: durations[max(1, math.ceil(share * len(durations))) - 1] / 1e6
    return {"count": len(durations), "p50": rank(0.5), "p95": rank(0.95), "p99": rank(0.99)}


def found(columns, sent_bytes, received_bytes, statuses):
    durations = {name: percentiles(values) for name, values in columns.items()}
    counts = {str(int(status)): int(count) for status, count in sorted(statuses)}
    return durations | {"sent_bytes": int(sent_bytes), "received_bytes": int(received_bytes), "statuses": counts}


def by_duckdb():
    def rows(query):
        return duckdb.execute(query, [SAMPLES]).fetchall()

    def durations(end, start):
        return [value for (value,) in rows(f"select {end} - {start} from read_csv(?) where status is not null")]

    [(sent_bytes, received_bytes)] = rows("select sum(sent_bytes), sum(received_bytes) from read_csv(?)")
    statuses = rows("select status, count(*) from read_csv(?) where status is not null group by 1")
    return found({name: durations(*ends) for name, ends in DURATIONS.items()}, sent_bytes, received_bytes, statuses)


def by_pandas():
    samples = pandas.read_csv(SAMPLES)
    answered = samples.dropna(subset=["status"])
    columns = {name: (answered[end] - answered[start]).tolist() for name, (end, start) in DURATIONS.items()}
    statuses = answered["status"].value_counts().items()
    return found(columns, samples["sent_bytes"].sum(), samples["received_bytes"].sum(), statuses)


print(json.dumps({"duckdb": by_duckdb(), "pandas": by_pandas()}))
