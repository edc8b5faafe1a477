"""What every test may rely on."""

import os
import signal

# A shell starts background jobs with SIGINT ignored, and children inherit that: the tests of ctrl-C
# would wait for ever. A handler, unlike SIG_IGN, is not inherited: children start with the default.
signal.signal(signal.SIGINT, signal.default_int_handler)

# FFmpeg takes its log level when a process first uses it: here that may be a test that writes a video.
# drml sets the level when it opens a video.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
