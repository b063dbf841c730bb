"""`python -m memd.cli`."""

import sys

from memd.cli.main import main

sys.exit(main())
