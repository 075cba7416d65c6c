"""`python -m fastbp`: the command line without its script on the path."""

import sys

from fastbp.cli.main import main

sys.exit(main())
