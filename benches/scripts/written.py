#!/usr/bin/env python3
"""What silt hands to the file system for each plain byte of a CSV file, and how fast it takes it under each sync policy.

    python3 benches/scripts/written.py --data DIR --silt target/release/silt [--rounds N] FILE:TIME[:KEY+KEY[:UNIT]]...

Each file (plain) is ingested with a sync every 100 ms, sealed and merged. Bytes are those that `silt stat` counts: log,
segments, manifest; *plain* is the rows' binary form. With --rounds also rows a second with --sync 100, always and os,
the best of N.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import tempfile


def ingest(silt, store, path, time, keys, unit, sync):
    shutil.rmtree(store, ignore_errors=True)
    more = ["--key", ",".join(keys)] if keys else []
    more += ["--time-unit", unit] if unit else []
    command = [silt, "ingest", str(store), "s", str(path), "--time", time, "--sync", sync, *more]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True)
    seconds = re.search(r"rows in ([\d.]+) s", done.stderr)
    rows = re.search(r"([\d,]+) rows in", done.stderr)
    return int(rows.group(1).replace(",", "")) / float(seconds.group(1))


def bytes_of(text):
    number, unit = re.match(r"([\d.,]+) (\w+)", text).groups()
    return float(number.replace(",", "")) * {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[unit]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--silt", required=True)
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("sets", nargs="+")
    args = parser.parse_args()
    print("| file | written / plain | log / plain | segments / plain | kept / plain | limit | 100 / os | always / os | os, rows/s |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=".") as work:
        store = pathlib.Path(work) / "store"
        for spec in args.sets:
            file, time, keys, unit = (spec.split(":") + ["", ""])[:4]
            keys = [key for key in keys.split("+") if key]
            path = args.data / file
            ingest(args.silt, store, path, time, keys, unit, "100")
            subprocess.run([args.silt, "maintain", store], check=True, stderr=subprocess.DEVNULL)
            text = subprocess.run([args.silt, "stat", store], stdout=subprocess.PIPE, text=True, check=True).stdout
            line = re.search(r"^written +(.*)$", text, re.M).group(1)
            total = bytes_of(line)
            parts = {name: bytes_of(size) for name, size in re.findall(r"(\w+) ([\d.,]+ \w+)[,)]", line)}
            per_plain, per_kept = map(float, re.search(r": ([\d.]+) for .*, ([\d.]+) for", line).groups())
            plain = total / per_plain if per_plain else 0
            kept = per_plain / per_kept if per_kept else 0
            limit = max(1.0, 2.2 * kept)
            speed = {sync: 0.0 for sync in ("100", "always", "os")}
            for _ in range(args.rounds):
                for sync in speed:
                    speed[sync] = max(speed[sync], ingest(args.silt, store, path, time, keys, unit, sync))
            ratios = [f"{speed[s] / speed['os']:.2f}" if args.rounds else "" for s in ("100", "always")]
            cells = [file, f"{per_plain:.2f}", f"{parts.get('log', 0) / plain:.3f}",
                     f"{parts.get('segments', 0) / plain:.3f}", f"{kept:.3f}", f"{limit:.2f}", *ratios,
                     f"{speed['os']:,.0f}" if args.rounds else ""]
            print("| " + " | ".join(cells) + " |", flush=True)


main()
