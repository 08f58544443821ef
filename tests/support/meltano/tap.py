#!/usr/bin/env python3
"""A Singer tap: emits a record and a state each half second for TAP_SECONDS, or exits at once with 1 if they are -1."""
import json
import os
import sys
import time

seconds = float(os.environ.get("TAP_SECONDS", "0"))
if seconds < 0:
    sys.exit(1)
say = lambda message: print(json.dumps(message), flush=True)
say({"type": "SCHEMA", "stream": "s", "schema": {"properties": {"n": {"type": "integer"}}}, "key_properties": ["n"]})
end = time.monotonic() + seconds
n = 0
while True:
    say({"type": "RECORD", "stream": "s", "record": {"n": n}})
    say({"type": "STATE", "value": {"bookmarks": {"s": {"n": n, "float": 1e2, "text": "ü }{"}}}})
    n += 1
    if time.monotonic() >= end:
        break
    time.sleep(0.5)
