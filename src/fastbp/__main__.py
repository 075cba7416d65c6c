"""`python -m fastbp`: the command line."""

import sys

from fastbp.cli.main import main

sys.exit(main())
