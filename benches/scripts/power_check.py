#!/usr/bin/env python3
"""Holds a store that a power cut left to what was acknowledged.

    power_check.py scenario SILT STORE INPUTS   ingests, seals, merges, lays out anew and learns; prints what is promised
    power_check.py check SILT STORE INPUTS ACKS exits 0 if STORE is sound and holds every promised row once

`scenario` runs under a recorder of system calls, which can then build the directory that a cut at any moment leaves;
`check` is run on each. INPUTS is a directory in which `scenario` finds or makes its CSV files; ACKS is a file with what
`scenario` had printed before the cut.
"""

import pathlib
import subprocess
import sys

BATCHES = [(0, 40), (40, 41), (41, 300), (300, 5_300), (5_300, 5_310), (5_310, 5_400), (5_400, 5_500), (5_500, 5_510)]
STREAM = "s"


def row(i):
    return f"{i},d{i % 3},{i / 100:.2f},note {i * 7919 % 1000}"


def make_inputs(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for number, (start, end) in enumerate(BATCHES):
        lines = ["ts,device,x,note"] + [row(i) for i in range(start, end)]
        (folder / f"{number}.csv").write_text("\n".join(lines) + "\n")


def silt(program, *arguments, check=True, capture=False):
    out = subprocess.PIPE if capture else None
    done = subprocess.run([program, *arguments], stdout=out, stderr=subprocess.DEVNULL, text=True, check=False)
    if check and done.returncode != 0:
        sys.exit(f"silt {' '.join(arguments)} ended with {done.returncode}")
    return done


def say(text):
    print(text, flush=True)


def scenario(program, store, inputs):
    for number in range(len(BATCHES)):
        say(f"batch {number}")
        arguments = ["ingest", store, STREAM, str(inputs / f"{number}.csv"), "--time-unit", "s", "--key", "device"]
        sync = "always" if number % 2 == 0 else "1"
        silt(program, *arguments, "--acknowledge", "--sync", sync)
        if number in (1, 2, 4, 5, 6):
            silt(program, "maintain", store)
        if number == 3:
            silt(program, "train", store, "watch", "--stream", STREAM, "--channels", "x", "--window", "16", "--epochs", "1")
            say("model watch")
        if number == 6:
            silt(program, "maintain", store, "--relayout", "scan", check=False)
    silt(program, "model", "rm", store, "watch", "1", check=False)
    silt(program, "maintain", store)
    say("end")


def promised_rows(acks):
    promised, batch = 0, -1
    for line in acks.splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        word, _, value = line.strip().partition(" ")
        if word == "batch":
            batch = int(value)
            promised = BATCHES[batch][0]
        elif word == "durable":
            promised = BATCHES[batch][0] + int(value)
    return promised


def check(program, store, acks):
    promised = promised_rows(acks)
    if silt(program, "stat", store, check=False, capture=True).returncode != 0:
        # A creation that was cut off promised nothing, and can be done again.
        return "" if promised == 0 and "durable" not in acks else f"the store is gone; {promised} rows were promised"
    verified = silt(program, "verify", store, check=False, capture=True)
    if verified.returncode != 0:
        return f"damage: {verified.stdout}"
    exported = silt(program, "export", store, STREAM, "--format", "csv", check=False, capture=True)
    if exported.returncode != 0:
        return "" if promised == 0 else f"the stream is gone; {promised} rows were promised"
    lines = [line.split(",") for line in exported.stdout.splitlines()[1:]]
    numbers = sorted(round(float(line[2]) * 100) for line in lines)
    if numbers != list(range(len(numbers))):
        return f"rows are not those of the input: {len(numbers)} of them"
    if len(numbers) < promised:
        return f"{len(numbers)} rows, {promised} were promised"
    again = silt(program, "ingest", store, "after", str(inputs_of(acks)), "--time-unit", "s", check=False)
    return "" if again.returncode == 0 else "the store takes no more rows"


def inputs_of(_):
    return pathlib.Path(sys.argv[4]) / "1.csv"


def main():
    what, program, store, inputs = sys.argv[1:5]
    if what == "scenario":
        make_inputs(pathlib.Path(inputs))
        scenario(program, store, pathlib.Path(inputs))
    else:
        acks = pathlib.Path(sys.argv[5]).read_text()
        failure = check(program, store, acks)
        if failure:
            sys.exit(failure)


main()
