"""Brings nets of Caffe's earlier formats into the current one."""

from caffe._caffe import _upgraded_net_text
from caffe.proto import caffe_pb2
from google.protobuf import text_format

__all__ = ["upgraded_net"]


def upgraded_net(net):
    """Return a net in the current format; the net itself if it has this format.

    Parameters
    ----------
    net : caffe_pb2.NetParameter
        A net of any format: current; V1, with ``layers { type: CONVOLUTION }``; or V0, with
        ``layers { layer { type: "conv" } }``.

    Returns
    -------
    caffe_pb2.NetParameter

    Raises
    ------
    RuntimeError
        If Caffe cannot upgrade the net.
    """
    if not net.layers:
        return net
    return text_format.Parse(_upgraded_net_text(str(net)), caffe_pb2.NetParameter())
