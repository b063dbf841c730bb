"""Rounds of maintenance on one device without end, its wear book in a directory: care_rounds.py DEVICE DIRECTORY."""

import sys
from pathlib import Path

from test_memd_zramcare import Elsewhere, round_on
from zramdisk import Disk

from memd.service.wear import WearBook

made, book = Disk(sys.argv[1]), WearBook(Elsewhere(Path(sys.argv[2])))
print("begun", flush=True)
while True:
    round_on(made, book)
