"""What all tests share."""

import os
import signal

# Tests run on all cores already; torch's and OpenMP's own threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell's background job ignores Ctrl-C and hands that down to the processes the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
