"""The tests. Compiled modules are kept: otherwise every process that a test starts would compile all of them again."""

import os
import sys

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
