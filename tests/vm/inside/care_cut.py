"""A round of maintenance on the device that is swap, with the machine's own wear book: care_cut.py DEVICE. Something may happen to it."""

import sys

import mishap
from test_memd_zramcare import NOW, ROOT, round_on
from zramdisk import Disk

from memd.service.wear import WearBook

mishap.prepare(sys.argv)
print(round_on(Disk(sys.argv[1]), WearBook(ROOT), NOW), flush=True)
