"""`python -m memd.cli`."""

import sys

from memd.cli.entry import main

sys.exit(main())
