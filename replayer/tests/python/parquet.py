"""Reads a Parquet export with DuckDB and with pandas, each by itself, and prints what each found as JSON."""

import json
import math
import sys

import duckdb
import pandas

EXPORT = sys.argv[1]


def nearest_rank(values, share):
    values = sorted(values)
    return values[max(1, math.ceil(share * len(values))) - 1]


def by_duckdb():
    def rows(query):
        return duckdb.execute(query, [EXPORT]).fetchall()

    [(kinds, starts)] = rows("select map_from_entries(list(row(kind, n))), max(last) from "
                             "(select kind, count(*) as n, max(start) as last from read_parquet(?) group by kind)")
    [(body_bytes, total_p95_us)] = rows(
        "select sum(request_body_bytes), list_sort(list(done_us))[ceil(0.95 * count(done_us))::int] "
        "from read_parquet(?) where kind = 'exchange'")
    [(files, upload_bytes)] = rows(
        "select count(bytes), sum(bytes::bigint) from (select unnest(json_extract(request_body, '$.parts[*].file.bytes')) as bytes "
        "from read_parquet(?) where request_body_kind = 'multipart')")
    timings = rows("select timing.name, sum(timing.duration_us)::bigint from "
                   "(select unnest(server_timing) as timing from read_parquet(?)) group by 1 order by 1")
    statuses = rows("select status::varchar, count(*) from read_parquet(?) where kind = 'exchange' group by 1 order by 1")
    return {
        "kinds": kinds,
        "starts": starts,
        "body_bytes": int(body_bytes),
        "total_p95_us": total_p95_us,
        "files": files,
        "upload_bytes": int(upload_bytes),
        "server_timing_us": dict(timings),
        "statuses": dict(statuses),
    }


def by_pandas():
    rows = pandas.read_parquet(EXPORT)
    exchanges = rows[rows["kind"] == "exchange"]
    forms = exchanges[exchanges["request_body_kind"] == "multipart"]["request_body"].map(json.loads)
    files = [part["file"]["bytes"] for form in forms for part in form["parts"] if "file" in part]
    timings = exchanges["server_timing"].explode().dropna()
    timing_us = {}
    for timing in timings:
        timing_us[timing["name"]] = timing_us.get(timing["name"], 0) + int(timing["duration_us"])
    return {
        "kinds": {kind: int(count) for kind, count in rows["kind"].value_counts().items() if count},
        "starts": int(rows["start"].max()),
        "body_bytes": int(exchanges["request_body_bytes"].sum()),
        "total_p95_us": int(nearest_rank(exchanges["done_us"].dropna(), 0.95)),
        "files": len(files),
        "upload_bytes": sum(files),
        "server_timing_us": dict(sorted(timing_us.items())),
        "statuses": {str(int(status)): int(count) for status, count in sorted(exchanges["status"].value_counts().items())},
    }


print(json.dumps({"duckdb": by_duckdb(), "pandas": by_pandas()}))
