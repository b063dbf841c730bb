"""Touch more memory than the cgroup allows, again and again, for some seconds: thrash.py BYTES SECONDS."""

import mmap
import random
import sys
import time

size, end = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
memory = mmap.mmap(-1, size)
for page in range(0, size, 4096):
    memory[page : page + 8] = random.randbytes(8)
while time.monotonic() < end:
    memory[random.randrange(size // 4096) * 4096] = 1
