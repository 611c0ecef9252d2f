#!/usr/bin/env python3
"""Holds a store that a power cut left to what was acknowledged.

    power_check.py scenario SILT STORE INPUTS   prints what is promised while it works
    power_check.py check SILT STORE INPUTS ACKS exits 0 if STORE is sound and keeps every promise

`scenario` runs under a recorder of system calls, which can then build the directory that a cut at any moment leaves;
`check` is run on each. INPUTS is a directory in which `scenario` makes its CSV files; ACKS is a file with what
`scenario` had printed before the cut.

Three streams, each row of which says which one it is (x = ts / 100, but for some noise in `age`):

s       ingested, sealed, merged, laid out anew, learned from and watched: every promised row is there once
age     goes down the ladder: no promised row is uncounted, values stay within the stated error and buckets
cache   rows go by age and when the budget is full, those of the pinned key stay: what is there has no gap but that

At its end `scenario` looks whether all of it came about: a step to each rung, rows dropped for either reason, segments
merged, a model learned; else it fails.
"""

import pathlib
import re
import subprocess
import sys
from hashlib import md5

BATCHES = {
    "s": [(0, 40), (40, 41), (41, 80), (80, 120), (120, 3_120), (3_120, 3_130), (3_130, 3_140)],
    "age": [(0, 2_000), (2_000, 4_000), (4_000, 5_500)],
    "cache": [(0, 4_000), (4_000, 12_000), (12_000, 22_000), (22_000, 32_000), (32_000, 32_010)],
}
RETENTION = {
    "s": "keep",
    "age": "small=200s,eps:x=0.05,bounded=1500s,every=600s,downsample=3000s",
    "cache": "drop=15000s/full",
}
ERROR, BUCKET, NOISE = 0.05, 600, 0.5
PINNED_KEY, PINNED_FROM, PINNED_TO = "d1", 1_000, 1_100
PINNED = {i for i in range(PINNED_FROM, PINNED_TO) if f"d{i % 3}" == PINNED_KEY}
BUDGET = 256 << 10


def row(stream, i):
    if stream == "age":
        noise = md5(str(i).encode()).hexdigest()[:12]
        return f"{i},d{i % 3},{i / 100 + NOISE * (i * 7919 % 100_003) / 100_003:.6f},{noise}"
    note = f"note {i * 7919 % 1000}" if stream == "s" else f"{i * 2654435761 % 2**32:x}"
    return f"{i},d{i % 3},{i / 100:.2f},{note}"


def make_inputs(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for stream, batches in BATCHES.items():
        for number, (start, end) in enumerate(batches):
            lines = ["ts,device,x,note"] + [row(stream, i) for i in range(start, end)]
            (folder / f"{stream}{number}.csv").write_text("\n".join(lines) + "\n")


def silt(program, *arguments, check=True, capture=False):
    out = subprocess.PIPE if capture else None
    done = subprocess.run([program, *arguments], stdout=out, stderr=subprocess.DEVNULL, text=True, check=False)
    if check and done.returncode != 0:
        sys.exit(f"silt {' '.join(arguments)} ended with {done.returncode}")
    return done


def say(text):
    print(text, flush=True)


def ingest(program, store, inputs, stream, number, *more):
    say(f"batch {stream} {number}")
    arguments = ["ingest", store, stream, str(inputs / f"{stream}{number}.csv"), "--time-unit", "s", "--key", "device"]
    sync = "always" if number % 2 == 0 else "1"
    retention = ["--retention", RETENTION[stream]] if number == 0 else []
    types = ["--type", "x=f64", "--type", "note=text"] if number == 0 else []
    silt(program, *arguments, *retention, *types, "--acknowledge", "--sync", sync, *more)


def scenario(program, store, inputs):
    for number in range(len(BATCHES["s"])):
        ingest(program, store, inputs, "s", number)
        if number in (0, 1, 2, 3, 5):
            silt(program, "maintain", store)
        if number == 4:
            silt(program, "train", store, "watch", "--stream", "s", "--channels", "x", "--window", "16", "--epochs", "1")
            say("model watch")
            silt(program, "detect", store, "watch", "s")
        if number == 5:
            silt(program, "maintain", store, "--relayout", "scan", check=False)
    silt(program, "model", "rm", store, "watch", "1", check=False)
    for number in range(len(BATCHES["age"])):
        ingest(program, store, inputs, "age", number)
        silt(program, "maintain", store)
    ingest(program, store, inputs, "cache", 0)
    pin = ["--pin", f"{PINNED_FROM}..{PINNED_TO}", "--where", f"device = '{PINNED_KEY}'"]
    silt(program, "maintain", store, "--stream", "cache", *pin)
    say("pinned")
    for number in range(1, len(BATCHES["cache"])):
        if number == 3:
            silt(program, "maintain", store, "--budget", str(BUDGET))
            say("budget")
        # With little memory, so that there are segments small enough to go one by one.
        ingest(program, store, inputs, "cache", number, "--ram", "4M")
        silt(program, "maintain", store, "--ram", "4M")
    came_about(program, store)
    say("end")


def came_about(program, store):
    """Ends with a failure unless everything happened that the scenario is for."""
    for stream, words in {
        "s": [],
        "age": ["rows bounded (age)", "rows downsampled (age)"],
        "cache": ["rows dropped (age)", "rows dropped (full)", f"device {PINNED_KEY}"],
    }.items():
        stat = silt(program, "stat", store, stream, capture=True).stdout
        missing = [word for word in words if word not in stat]
        segments = int(re.search(r"segments  (\d+)", stat).group(1))
        if stream == "s" and segments > 3:
            missing.append(f"a merge: {segments} segments")
        if missing:
            sys.exit(f"{stream}: the scenario has no {missing}")


def promises(acks):
    """Rows promised of each stream, and what else was said."""
    promised, said, stream, start = dict.fromkeys(BATCHES, 0), set(), "s", 0
    for line in acks.splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        # What a command printed for itself is recorded too.
        word, *values = line.split() or [""]
        if word == "batch":
            stream = values[0]
            start = BATCHES[stream][int(values[1])][0]
            promised[stream] = max(promised[stream], start)
        elif word == "durable":
            promised[stream] = start + int(values[0])
            said.add("durable")
        else:
            said.add(word)
    return promised, said


def rows_of(program, store, stream):
    """Time and x of the rows of a stream; None if there is no such stream."""
    exported = silt(program, "export", store, stream, "--format", "csv", check=False, capture=True)
    if exported.returncode != 0:
        return None
    head, *lines = exported.stdout.splitlines()
    at = head.split(",").index("x")
    cells = (line.split(",") for line in lines)
    return [(seconds(line[0]), float(line[at])) for line in cells]


def seconds(time):
    days = int(time[8:10]) - 1
    return ((days * 24 + int(time[11:13])) * 60 + int(time[14:16])) * 60 + int(time[17:19])


def check_plain(rows, promised):
    numbers = sorted(round(x * 100) for _, x in rows)
    if numbers != list(range(len(numbers))):
        return f"rows are not those of the input: {len(numbers)} of them"
    return "" if len(numbers) >= promised else f"{len(numbers)} rows, {promised} were promised"


def check_aged(program, store, rows, promised):
    counted = silt(program, "count", store, "age", check=False, capture=True)
    if counted.returncode != 0 or int(counted.stdout) < promised:
        return f"count says {counted.stdout.strip()}, {promised} rows were promised"
    for time, x in rows:
        if not -ERROR - 1e-9 <= x - time / 100 <= BUCKET / 100 + NOISE + ERROR + 1e-9:
            return f"the row of {time} holds {x}"
    return ""


def check_cache(rows, promised, said):
    numbers = sorted(round(x * 100) for _, x in rows)
    if len(set(numbers)) != len(numbers):
        return "a row is there twice"
    kept = [number for number in numbers if number not in PINNED]
    # Rows go by segments of several devices, so the oldest stretch may have gaps; the newest 10,000 may not.
    newest = [number for number in kept if number >= kept[-1] - 10_000] if kept else []
    if newest and newest != [n for n in range(newest[0], newest[-1] + 1) if n not in PINNED]:
        return "there is a gap among the newest rows"
    if promised and (not numbers or numbers[-1] + 1 < promised):
        return f"the newest row is {numbers[-1] if numbers else None}, {promised} were promised"
    lost = sorted(PINNED - set(numbers))
    return f"pinned rows are gone: {lost[:3]}" if "pinned" in said and lost else ""


def check(program, store, inputs, acks):
    promised, said = promises(acks)
    if silt(program, "stat", store, check=False, capture=True).returncode != 0:
        # A creation that was cut off promised nothing, and can be done again.
        return "" if "durable" not in said else f"the store is gone; {promised} rows were promised"
    files = (path for path in pathlib.Path(store).rglob("*") if path.is_file())
    used = sum(-(-path.stat().st_size // 4096) * 4096 for path in files)
    if "budget" in said and used > BUDGET:
        return f"{used} bytes in a budget of {BUDGET}"
    verified = silt(program, "verify", store, check=False, capture=True)
    if verified.returncode != 0:
        return f"damage: {verified.stdout}"
    for stream in BATCHES:
        rows = rows_of(program, store, stream)
        if rows is None:
            if promised[stream]:
                return f"stream {stream} is gone; {promised[stream]} rows were promised"
            continue
        failure = {
            "s": lambda: check_plain(rows, promised["s"]),
            "age": lambda: check_aged(program, store, rows, promised["age"]),
            "cache": lambda: check_cache(rows, promised["cache"], said),
        }[stream]()
        if failure:
            return f"{stream}: {failure}"
    if "model" in said and "batch age" not in acks:
        if "watch" not in silt(program, "model", "list", store, check=False, capture=True).stdout:
            # It is deleted at the end of what is done with `s`.
            return "" if "batch s 6" in acks else "the model is gone"
    again = silt(program, "ingest", store, "after", str(inputs / "s1.csv"), "--time-unit", "s", check=False)
    if again.returncode != 0:
        return "the store takes no more rows"
    return "" if silt(program, "maintain", store, check=False).returncode == 0 else "maintain fails"


def main():
    what, program, store, inputs = sys.argv[1:5]
    inputs = pathlib.Path(inputs)
    if what == "scenario":
        make_inputs(inputs)
        scenario(program, store, inputs)
    else:
        failure = check(program, store, inputs, pathlib.Path(sys.argv[5]).read_text())
        if failure:
            sys.exit(failure)


main()
