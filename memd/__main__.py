"""`python -m memd`."""

import sys

from memd.main import main

sys.exit(main())
