"""What every test may rely on."""

import signal

# A shell starts background jobs with SIGINT ignored, and children inherit that: the tests of ctrl-C
# would wait for ever. A handler, unlike SIG_IGN, is not inherited: children start with the default.
signal.signal(signal.SIGINT, signal.default_int_handler)
