#!/usr/bin/env python3
"""Asks silt and DuckDB the same questions over the same CSV files, compares every answer, and weighs the files.

    python3 benches/scripts/answers.py --data DIR --silt target/release/silt [--work DIR]

DIR holds the files named in SETS, unpacked or as .gz. Needs the Python package duckdb. Prints one line a question and a
table of bytes: the store after sealing, beside zstd Parquet as DuckDB writes it (sorted like the segments).
"""

import argparse
import csv
import gzip
import io
import math
import pathlib
import shutil
import subprocess
import sys
import time

import duckdb

AGGREGATES = "count(*), count({c}), sum({c}), min({c}), max({c}), median({c})"

# name: file, time column, keys, ingest options, numeric columns, further conditions, text (column, needles)
SETS = {
    "room_climate_A": dict(
        file="room_climate_A.csv", time="ts_ms", keys=["node"], options=["--time-unit", "ms"],
        numbers=["temp_c", "rh_pct", "light1", "occupants"],
        where=["temp_c > 21.5", "rh_pct between 38 and 40", "node = 'A1' and temp_c <= 22",
               "ts_ms >= {t1} and ts_ms < {t2} and light1 > 200", "not (temp_c > 21 or node = 'A3')"],
        text=[]),
    "air_quality_6_stations": dict(
        file="air_quality_6_stations.csv", time="ts", keys=["station"], options=[],
        numbers=["PM25", "TEMP", "PRES", "RAIN", "WSPM"],
        where=["PM25 > 100", "NO2 is null", "station = 'Dingling' and TEMP < 0", "wd in ('N', 'NNW') and O3 > 50",
               "TEMP between -5 and 5 or RAIN > 1"],
        text=[("wd", ["N", "NE", "SW", "X"]), ("station", ["ng"])]),
    "wind_scada_2014": dict(
        file="wind_scada_2014.csv", time="ts", keys=["turbine"], options=[],
        numbers=["P_avg", "Ws_avg", "Ot_avg", "Ba_avg"],
        where=["Ws_avg > 12.5", "P_avg < 0", "turbine = 'R80721' and Ws_avg between 5 and 6", "Ot_avg is null"],
        text=[]),
    "ecg_mitbih_2ch_int": dict(
        file="ecg_mitbih_2ch_int.csv", time="ts_us", keys=["record"], options=["--time-unit", "us"],
        numbers=["lead_a", "lead_b"],
        where=["lead_a > 1100", "record = 100 and lead_b < 900", "lead_a between 950 and 960",
               "ts_us < 60000000 and lead_a > 1000"],
        text=[]),
    "zeek_dns": dict(
        file="zeek_dns.log", time="ts", keys=[], zeek=True, options=[],
        numbers=["id.orig_p", "trans_id"],
        where=["rcode_name = 'NXDOMAIN'", "qtype_name in ('AAAA', 'PTR') and rejected = 'T'"],
        text=[("query", ["wrccdc", "google", ".arpa", "in-addr", "zz", "local", "a", "microsoft.com"]),
              ("answers", ["134.71", "CNAME", "TXT", "10.47"]), ("uid", ["Cq", "x9"])]),
}


def find(data, name):
    for path in list(data.rglob(name)) + list(data.rglob(name + ".gz")):
        return path
    sys.exit(f"{name} is not below {data}")


def unpack(path, work):
    if path.suffix != ".gz":
        return path
    out = work / path.stem
    if not out.exists():
        with gzip.open(path, "rb") as source, open(out, "wb") as target:
            shutil.copyfileobj(source, target)
    return out


def zeek_columns(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("#fields"):
                return line.rstrip("\n").split("\t")[1:]
    sys.exit("no #fields line")


def silt(binary, *arguments):
    done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode not in (0, 3):
        sys.exit(f"silt {' '.join(map(str, arguments))}: {done.stderr}")
    return done


def same(a, b):
    if a in ("", None) or b in ("", None):
        return a in ("", None) and b in ("", None)
    try:
        x, y = float(a), float(b)
        return x == y or math.isclose(x, y, rel_tol=1e-12)
    except ValueError:
        return str(a) == str(b)


def quote(column):
    return '"' + column + '"'


def run_set(name, spec, options, results):
    source = unpack(find(options.data, spec["file"]), options.work)
    store = options.work / f"{name}.silt"
    shutil.rmtree(store, ignore_errors=True)
    ingest = ["ingest", store, "t", source, "--time", spec["time"], *spec["options"]]
    if spec["keys"]:
        ingest += ["--key", ",".join(spec["keys"])]
    con = duckdb.connect()
    con.execute("set threads to 1; set timezone = 'UTC'; set preserve_insertion_order = true")
    if spec.get("zeek"):
        columns = zeek_columns(source)
        ingest += ["--format", "zeek"]
        types = {c: "VARCHAR" for c in columns} | {"ts": "DOUBLE", "id.orig_p": "BIGINT", "id.resp_p": "BIGINT", "trans_id": "BIGINT"}
        con.execute("create table t as select * from read_csv(?, delim='\t', header=false, comment='#', quote='', escape='', "
                    "nullstr='-', columns=" + repr(types) + ", null_padding=true, auto_detect=false)", [str(source)])
    else:
        con.execute("create table t as select * from read_csv(?, header=true, sample_size=-1)", [str(source)])
    started = time.perf_counter()
    done = silt(options.silt, *ingest)
    seconds = time.perf_counter() - started
    silt(options.silt, "maintain", store)
    rows = con.execute("select count(*) from t").fetchone()[0]

    conditions = ["true"]
    if not spec.get("zeek"):
        low, high = con.execute(f"select min({spec['time']}), max({spec['time']}) from t").fetchone()
        if isinstance(low, int):
            t1, t2 = low + (high - low) // 4, low + (high - low) // 2
            conditions += [w.format(t1=t1, t2=t2) for w in spec["where"]]
        else:
            conditions += spec["where"]
    else:
        conditions += spec["where"]
    questions = []
    for condition in conditions:
        for column in spec["numbers"]:
            questions.append((condition, AGGREGATES.format(c=quote(column))))
    for column, needles in spec["text"]:
        for needle in needles:
            questions.append((f"{quote(column)} like '%{needle}%'", "count(*)"))

    wrong = 0
    for condition, select in questions:
        # The store keeps integer clocks as timestamps; DuckDB read them as integers.
        ours = condition
        if spec["time"] in ("ts_ms", "ts_us") and spec["time"] in condition:
            ours = condition.replace(spec["time"], f"arrow_cast({spec['time']}, 'Int64')")
        answer = silt(options.silt, "sql", store, f"select {select} from t where {ours}", "--format", "csv").stdout
        mine = list(csv.reader(io.StringIO(answer)))[1]
        theirs = con.execute(f"select {select} from t where {condition}").fetchone()
        equal = len(mine) == len(theirs) and all(same(a, b) for a, b in zip(mine, theirs))
        wrong += not equal
        if not equal or options.verbose:
            print(f"{'equal' if equal else 'DIFFERENT'}  {name}: {select} where {condition}\n    silt   {mine}\n    duckdb {list(theirs)}")
    # The same rows as Parquet, sorted like the segments, by the engine's own writer.
    parquet = options.work / f"{name}.parquet"
    order = ", ".join(quote(c) for c in spec["keys"] + [spec["time"]])
    con.execute(f"copy (select * from t order by {order}) to '{parquet}' (format parquet, compression zstd)")
    size = sum(f.stat().st_size for f in store.rglob("*") if f.is_file())
    segments = sum(f.stat().st_size for f in store.rglob("segment-*") if f.is_file())
    results.append((name, rows, len(questions), wrong, size, segments, parquet.stat().st_size, source.stat().st_size, seconds))
    summary = [line for line in done.stderr.splitlines() if line.strip()]
    print(f"{name}: {len(questions) - wrong} of {len(questions)} answers equal; {summary[-1] if summary else ''}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--silt", required=True)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("answers-work"))
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    results = []
    for name in options.sets.split(","):
        run_set(name, SETS[name], options, results)
    print(f"\n{'set':24} {'rows':>9} {'asked':>6} {'wrong':>6} {'store B':>11} {'segments B':>11} {'parquet B':>11} {'ratio':>6} {'rows/s':>10}")
    for name, rows, asked, wrong, size, segments, parquet, _, seconds in results:
        print(f"{name:24} {rows:9} {asked:6} {wrong:6} {size:11} {segments:11} {parquet:11} {size / parquet:6.3f} {rows / seconds:10.0f}")
    sys.exit(1 if any(r[3] for r in results) else 0)


if __name__ == "__main__":
    main()
