"""Hold so much memory that does not compress, until killed: hog.py BYTES."""

import mmap
import random
import signal
import sys

size, page = int(sys.argv[1]), random.randbytes(1 << 20)
memory = mmap.mmap(-1, size)
for start in range(0, size - len(page) + 1, len(page)):
    memory[start : start + len(page)] = page
print("held", flush=True)
signal.pause()
