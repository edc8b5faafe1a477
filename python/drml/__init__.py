"""Facial action unit detection with DRML on Caffe: data sets, scores, reports."""

import os

from drml.io.limits import IMAGE_PIXELS, IMAGE_SIDE

__version__ = "0.1.0"

# OpenCV reads these when it is loaded, which only modules below this one do.
for _name, _value in (("PIXELS", IMAGE_PIXELS), ("WIDTH", IMAGE_SIDE), ("HEIGHT", IMAGE_SIDE)):
    os.environ.setdefault(f"OPENCV_IO_MAX_IMAGE_{_name}", str(_value))
# A video is a file of its own: no play lists, which would send FFmpeg to other files and servers.
os.environ.setdefault(
    "OPENCV_FFMPEG_CAPTURE_OPTIONS",
    f"protocol_whitelist;file|max_pixels;{IMAGE_PIXELS}|format_whitelist;"
    "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpeg,mpegts,mpegvideo,asf,flv,ogg,gif,h264,hevc,m4v,mjpeg",
)
