"""A process whose memory says what it should hold: pattern.py BYTES [NOISE]. Each page has its number, NOISE bytes (2040) that do
not compress, and a rest that does.
Says `ready`, then `round N` whenever each page was found as it was written; `lost PAGE` and status 1 if one was not."""

import mmap
import random
import sys
import time

size, noise = int(sys.argv[1]), int((*sys.argv, 2040)[2])
NOISE = random.Random(0).randbytes((1 << 16) + 4096)
memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def page(number: int) -> bytes:
    start = number * 31 & 0xFFFF
    return (number.to_bytes(8, "little") + NOISE[start : start + noise]).ljust(4096, b"\0")


for number in range(size // 4096):
    memory[number * 4096 : (number + 1) * 4096] = page(number)
print("ready", flush=True)
turn = 0
while True:
    for number in range(size // 4096):
        if memory[number * 4096 : (number + 1) * 4096] != page(number):
            print(f"lost {number}", flush=True)
            sys.exit(1)
        if number % 64 == 0:
            time.sleep(0.001)
    turn += 1
    print(f"round {turn}", flush=True)
