#!/usr/bin/env python3
"""Anonymous memory that silt holds at most, command by command, under a limit.

    python3 benches/scripts/memory.py --silt target/release/silt --store DIR [--ram 16M] [--rows 100000000] [--sql 64M]

Makes the store from generated rows of machines (8 devices, a walk of two digits, noise of three, a count, a state, and a
note of a few words in one row of a hundred), unless it is there, and asks it. What is shown is the largest RssAnon in
/proc, looked at every 2 ms: mapped files are not in it.
"""

import argparse
import pathlib
import random
import subprocess
import sys
import threading
import time

WORDS = "pump valve bearing pressure high low restart timeout operator sensor drift ok line fault reset check".split()
QUESTIONS = [
    ["count", "STORE", "s"],
    ["count", "STORE", "s", "--where", "temp > 21"],
    ["count", "STORE", "s", "--where", "flow > 50 AND temp < 20 OR count = 7"],
    ["count", "STORE", "s", "--where", "ts >= '2023-11-14T22:20:00Z' AND ts < '2023-11-15T00:00:00Z' AND flow > 10"],
    ["search", "STORE", "s", "bearing 777"],
    ["stat", "STORE"],
    ["stat", "STORE", "s"],
    ["export", "STORE", "s", "--format", "csv", "--output", "/dev/null"],
]
SQL = [
    "SELECT count(*) FROM s",
    "SELECT device, avg(temp), max(flow), count(*) FROM s GROUP BY device",
    "SELECT state, count(*) FROM s WHERE flow > 50 GROUP BY state",
    "SELECT * FROM s ORDER BY flow DESC LIMIT 5",
    "SELECT median(temp), stddev(flow) FROM s WHERE count < 10",
    "SELECT ts, temp FROM s WHERE note LIKE '%bearing 777%' LIMIT 3",
]


def rows(count):
    yield "ts,device,temp,flow,count,state,note\n"
    walk = [2000] * 8
    for i in range(count):
        device, value = i % 8, random.getrandbits(62)
        walk[device] += value % 7 - 3
        note = ""
        if value % 100 == 0:
            note = " ".join(WORDS[value >> shift & 15] for shift in range(8, 24, 4)) + f" {(value >> 30) % 100_000}"
        yield (f"{1_700_000_000_000_000 + i * 125 + (value >> 8) % 50},d{device},{walk[device] / 100:.2f},"
               f"{(value >> 16) % 100_000 / 1000:.3f},{(value >> 40) % 1000},{('run', 'idle', 'stop')[i // 5000 % 3]},{note}\n")


def watch(process):
    most = 0
    while process.poll() is None:
        try:
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            most = max([most] + [int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")])
        except OSError:
            pass
        time.sleep(0.002)
    return most / 1024


def run(command, feed=None):
    started = time.monotonic()
    pipe = subprocess.PIPE if feed else subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=pipe, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
    if feed:
        def write():
            for row in feed:
                process.stdin.write(row)
            process.stdin.close()
        threading.Thread(target=write, daemon=True).start()
    most = watch(process)
    if process.returncode:
        sys.exit(f"{command} ended with {process.returncode}")
    print(f"| {' '.join(command[1:])} | {most:.1f} | {time.monotonic() - started:.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--silt", required=True)
    parser.add_argument("--store", required=True)
    parser.add_argument("--ram", default="16M")
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--sql", help="also ask in SQL, under this limit")
    args = parser.parse_args()
    print("| command | MB | s |\n|---|---|---|")
    base = [args.silt, "--ram", args.ram]
    if not pathlib.Path(args.store).exists():
        run(base + ["ingest", args.store, "s", "-", "--time-unit", "us", "--key", "device"], rows(args.rows))
        run(base + ["maintain", args.store])
    for question in QUESTIONS:
        run(base + [args.store if word == "STORE" else word for word in question])
    for query in SQL if args.sql else []:
        run([args.silt, "--ram", args.sql, "sql", args.store, query])


main()
