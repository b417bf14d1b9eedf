"""Run several training programs one after the other, as one of two processes of a launcher.

The only argument is a JSON list of command lines, each beginning with the program's name.
"""

import json
import sys

from accelerate import PartialState

from tests.train.runs import PROGRAMS

for program, *arguments in json.loads(sys.argv[1]):
    if code := PROGRAMS[program](arguments):
        sys.exit(code)
assert PartialState().num_processes == 2
