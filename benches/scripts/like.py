#!/usr/bin/env python3
"""DuckDB on the rows and conditions that `sql --python` hands over: one thread, the best of some times each.

    python3 benches/scripts/like.py QUESTIONS.json

Needs duckdb and pyarrow. Prints JSON: micros by kind of question, and the answers in order.
"""

import json
import sys
import time

import duckdb
import pyarrow as pa

with open(sys.argv[1]) as file:
    asked = json.load(file)
con = duckdb.connect()
con.execute("set threads to 1")
rows = asked["rows"]
con.register("given", pa.table({"ts": pa.array(range(len(rows)), pa.timestamp("ms")), "message": rows}))
con.execute("create table logs as select * from given")
micros, answers = {}, []
for kind, conditions in asked["kinds"]:
    micros[kind] = []
    for condition in conditions:
        condition = condition.replace("to_timestamp_millis", "epoch_ms")
        best = float("inf")
        for _ in range(asked["times"]):
            begun = time.perf_counter()
            answer = con.execute(f"SELECT count(*) FROM logs WHERE {condition}").fetchone()[0]
            best = min(best, time.perf_counter() - begun)
        micros[kind].append(best * 1e6)
        answers.append(answer)
print(json.dumps({"micros": micros, "answers": answers}))
