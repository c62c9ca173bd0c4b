"""The clock of the Python sides: answers requests for times as benches/versus.rs does."""

import json
import statistics
import sys
import time


def answer(make):
    """Reads `work form milliseconds` lines; answers each with [wall, processor] milliseconds of a step: the median of
    the wall times and the mean processor time of all threads; or with null where the work can't be set up. A work is
    set up, and warmed up by two steps, once."""
    print("ready", flush=True)
    steps = {}
    for line in sys.stdin:
        name, form, budget = line.split()
        try:
            if (name, form) not in steps:
                steps[name, form] = make(name, form)
                steps[name, form]()
                steps[name, form]()
            step = steps[name, form]
        except Exception as error:  # a form that a library does not have
            print(f"{name} {form}: {str(error).splitlines()[0][:200]}", file=sys.stderr)
            print("null", flush=True)
            continue
        begin, cpu, times = time.perf_counter(), time.process_time(), []
        while not times or (time.perf_counter() - begin) * 1e3 < float(budget):
            now = time.perf_counter()
            step()
            times.append((time.perf_counter() - now) * 1e3)
        cpu = (time.process_time() - cpu) * 1e3 / len(times)
        print(json.dumps([statistics.median(times), cpu]), flush=True)
