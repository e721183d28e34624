"""Imported by the fork server alone, before anything else.

Ctrl-C and a closed terminal reach every process of the terminal. What to do then is the driver's to decide; it stops
the workers. They inherit this from the server: a worker that died of it would be taken for a fit that failed.
"""

import signal

for _number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(_number, signal.SIG_IGN)
