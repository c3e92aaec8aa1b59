"""Run a command and print its standard output and its peak resident memory: `peak.py COMMAND...`.

A process of its own and a small one: a child's peak counts from the memory that its parent had when it was started.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

if __name__ == "__main__":
    with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        output = child.stdout.read().decode()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    print(json.dumps({"output": output, "peak_bytes": usage.ru_maxrss * 1024}))
    sys.exit(child.returncode)
