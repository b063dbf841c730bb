"""Ask a heap for more than the machine has, as memd does and with no rule before it; say what became of it and of a bystander.

ask_too_much.py [BYTES]: 9/10 of all memory without.
"""

import os
import subprocess
import sys

from dmabuf import meminfo

from memd.kernel.requester import Killed, Requester

HEAP = "/dev/dma_heap/system"
BYSTANDER = "import time; memory = bytearray(32 << 20); print('ready', flush=True); time.sleep(600)"


def main() -> None:
    """One word of each: `killed alive served` is what should be."""
    size = int(sys.argv[1]) if sys.argv[1:] else meminfo("MemTotal") * 9 // 10
    requester = Requester()
    with subprocess.Popen([sys.executable, "-c", BYSTANDER], stdout=subprocess.PIPE) as bystander:
        assert bystander.stdout
        bystander.stdout.readline()
        try:
            requester.allocate("system", HEAP, [size])
        except Killed:
            print("killed", end=" ")
        print("dead" if bystander.poll() is not None else "alive", end=" ")
        bystander.kill()
    [fd] = requester.allocate("system", HEAP, [1 << 20])
    os.close(fd)
    requester.close()
    print("served")


main()
