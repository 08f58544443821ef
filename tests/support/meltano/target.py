#!/usr/bin/env python3
"""A Singer target: takes everything, and gives each state back at once."""
import json
import sys

for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "STATE":
        print(json.dumps(message["value"]), flush=True)
