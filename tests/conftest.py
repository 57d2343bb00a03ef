"""What all tests share."""

import os

# Tests run on all cores already; torch's and OpenMP's own threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
