#!/usr/bin/env python3
"""DuckDB on the rows and conditions that `sql --python` hands over: one thread, the best of some times each.

    python3 benches/scripts/like.py QUESTIONS.json

Needs duckdb and pyarrow. Prints JSON: micros by kind of question, and the answers in order.
"""

import json
import re
import sys
import time

import duckdb
import pyarrow as pa

NUMBER_IN = re.compile(r"number_in\(message, '(.*)\{\}(.*)'\)")


def number_in(found):
    """The same number by a regular expression."""
    before, after = (re.sub(r"([^A-Za-z0-9 ])", r"\\\1", words) for words in found.groups())
    return f"TRY_CAST(regexp_extract(message, '{before}(-?[0-9]+(?:\\.[0-9]+)?){after}', 1) AS DOUBLE)"


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
        condition = NUMBER_IN.sub(number_in, condition)
        best = float("inf")
        for _ in range(asked["times"]):
            begun = time.perf_counter()
            answer = con.execute(f"SELECT count(*) FROM logs WHERE {condition}").fetchone()[0]
            best = min(best, time.perf_counter() - begun)
        micros[kind].append(best * 1e6)
        answers.append(answer)
print(json.dumps({"micros": micros, "answers": answers}))
