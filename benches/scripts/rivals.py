#!/usr/bin/env python3
"""DuckDB and Vortex through their own Python clients, on the rows that `numbers --python` hands over.

    python3 benches/scripts/rivals.py QUESTIONS.json

Needs numpy, pyarrow, and what there is of duckdb and vortex-data. Prints a JSON array: name, figures, answers. One
thread; the best of some rounds; what the call from Python costs is part of every figure (some microseconds).
"""

import json
import os
import sys
import time

import numpy as np
import pyarrow as pa


def each(budget, inputs, call):
    """Seconds of a call: the best of some rounds over as many inputs as fit into a third of the budget."""
    start, asked = time.perf_counter(), 0
    while asked < len(inputs) and (asked == 0 or time.perf_counter() - start < budget / 3):
        call(inputs[asked])
        asked += 1
    best = float("inf")
    for turn in range(25):
        begun = time.perf_counter()
        for given in inputs[:asked]:
            call(given)
        best = min(best, time.perf_counter() - begun)
        if turn > 0 and time.perf_counter() - start > budget:
            break
    return best / asked


def measure(name, asked, rows, subject, encode_s, size):
    """Asks a subject everything it has a method for; the answers go back to be compared."""
    budget, raw = asked["budget"], len(rows) * 8
    figures = {"bits": size * 8 / len(rows), "encode_MBs": raw / 1e6 / encode_s}
    assert np.array_equal(np.asarray(subject.read(0, len(rows))).view(rows.dtype), rows), f"{name}: decoded rows differ"
    figures["decode_GBs"] = raw / 1e9 / each(budget, [0], lambda _: subject.read(0, len(rows)))
    figures["get_ns"] = each(budget, asked["get"], subject.get) * 1e9
    figures["agg1_us"] = each(budget, asked["windows"]["1"], lambda w: subject.totals(*w)) * 1e6
    answers = {"get": [number(subject.get(row)) for row in asked["get"]], "cnt": {}, "med": {}}
    for share, windows in asked["windows"].items():
        answers["cnt"][share] = [number(subject.count(*w)) for w in windows]
        answers["med"][share] = [number(subject.median(*w)) for w in windows]
        figures[f"cnt{share}_us"] = each(budget, windows, lambda w: subject.count(*w)) * 1e6
        figures[f"med{share}_us"] = each(budget, windows, lambda w: subject.median(*w)) * 1e6
    figures["buckets_us"] = each(budget, [0], lambda _: subject.medians(asked["buckets"])) * 1e6
    return {"subject": name, "figures": figures, "answers": answers}


def number(value):
    return value.item() if hasattr(value, "item") else value


class Duck:
    """A native database file; SQL with prepared windows of row numbers."""

    def __init__(self, path, rows, interval):
        import duckdb

        self.con = duckdb.connect(path)
        self.con.execute("set threads to 1")
        self.con.register("given", pa.table({"v": pa.array(rows)}))
        begun = time.perf_counter()
        self.con.execute("create table t as select v from given")
        self.con.execute("checkpoint")
        self.encode_s = time.perf_counter() - begun
        self.interval = interval

    def ask(self, sql, *values):
        return self.con.execute(sql, values).fetchone()

    def read(self, start, end):
        return self.con.execute("select v from t where rowid >= ? and rowid < ?", [start, end]).fetchnumpy()["v"]

    def get(self, row):
        return self.ask("select v from t where rowid = ?", row)[0]

    def totals(self, start, end):
        return self.ask("select sum(v), min(v), max(v) from t where rowid >= ? and rowid < ?", start, end)

    def count(self, start, end):
        return self.ask("select count(*) from t where rowid >= ? and rowid < ? and v between ? and ?", start, end, *self.interval)[0]

    def median(self, start, end):
        return self.ask("select quantile_disc(v, 0.5) from t where rowid >= ? and rowid < ?", start, end)[0]

    def medians(self, buckets):
        rows = buckets[-1][1]
        sql = "select quantile_disc(v, 0.5) from t group by rowid * ? // ?"
        return self.con.execute(sql, [len(buckets), rows]).fetchnumpy()


class Vortex:
    """A Vortex file read in row ranges; aggregates by numpy over the decoded rows."""

    def __init__(self, path, rows, interval, compact):
        import vortex

        try:
            vortex.set_worker_threads(0)
        except (AttributeError, ValueError):
            pass
        self.vortex = vortex
        options = vortex.io.VortexWriteOptions.compact() if compact else vortex.io.VortexWriteOptions.default()
        given = vortex.array(pa.table({"v": pa.array(rows)}))
        begun = time.perf_counter()
        options.write(given, path)
        self.encode_s = time.perf_counter() - begun
        self.scan = vortex.open(path).to_repeated_scan(["v"])
        self.interval = interval

    def read(self, start, end):
        rows = self.scan.execute(row_range=(start, end)).read_all().to_arrow_array()
        chunks = rows.chunks if isinstance(rows, pa.ChunkedArray) else [rows]
        parts = [chunk.field("v").to_numpy(zero_copy_only=False) for chunk in chunks]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def get(self, row):
        return self.scan.scalar_at(row).as_py()["v"]

    def totals(self, start, end):
        rows = self.read(start, end)
        return rows.sum(), rows.min(), rows.max()

    def count(self, start, end):
        rows = self.read(start, end)
        return np.count_nonzero((rows >= self.interval[0]) & (rows <= self.interval[1]))

    def median(self, start, end):
        rows = self.read(start, end)
        k = (end - start - 1) // 2
        return np.partition(rows, k)[k]

    def medians(self, buckets):
        rows = self.read(buckets[0][0], buckets[-1][1])
        return [np.partition(rows[start:end], (end - start - 1) // 2)[(end - start - 1) // 2] for start, end in buckets]


def main():
    with open(sys.argv[1], encoding="utf-8") as text:
        asked = json.load(text)
    where = asked["dir"]
    rows = np.fromfile(os.path.join(where, "rows.bin"), dtype="<i8" if asked["type"] == "i64" else "<f8")
    out = []

    def run(name, make, path):
        path = os.path.join(where, path)
        if os.path.exists(path):
            os.remove(path)
        try:
            subject = make(path)
        except ImportError as error:
            print(f"{name} left out: {error}", file=sys.stderr)
            return
        out.append(measure(name, asked, rows, subject, subject.encode_s, os.path.getsize(path)))
        del subject
        os.remove(path)

    run("duckdb (python)", lambda path: Duck(path, rows, asked["interval"]), "rows.duckdb")
    run("vortex (python)", lambda path: Vortex(path, rows, asked["interval"], False), "rows.vortex")
    run("vortex compact (python)", lambda path: Vortex(path, rows, asked["interval"], True), "rows.vortex")
    json.dump(out, sys.stdout)


if __name__ == "__main__":
    main()
