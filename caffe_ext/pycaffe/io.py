"""Arrays and images as Caffe's nets take them: what is in place of upstream's module of this name.

Images are arrays of H x W x K values, inputs of a net K x H x W.
"""

import numpy as np
from caffe.proto import caffe_pb2

# scikit-image and SciPy are imported by what uses them: they take as long as all the rest of Caffe, and
# most programs read their images with OpenCV.

# --- Arrays and messages.


def blobproto_to_array(blob, return_diff=False):
    """Return the values of a BlobProto, or its gradients, in its shape."""
    values = np.array(blob.diff if return_diff else blob.data)
    legacy = ("num", "channels", "height", "width")
    if any(blob.HasField(name) for name in legacy):
        return values.reshape([getattr(blob, name) for name in legacy])
    return values.reshape(blob.shape.dim)


def array_to_blobproto(arr, diff=None):
    """Return a BlobProto with the values of `arr` and, if given, the gradients `diff` of its shape."""
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(arr.astype(float).ravel())
    if diff is not None:
        blob.diff.extend(diff.astype(float).ravel())
    return blob


def arraylist_to_blobprotovector_str(arraylist):
    """Return arrays as a serialized BlobProtoVector."""
    blobs = [array_to_blobproto(array) for array in arraylist]
    return caffe_pb2.BlobProtoVector(blobs=blobs).SerializeToString()


def blobprotovector_str_to_arraylist(str):
    """Return the arrays of a serialized BlobProtoVector."""
    return [blobproto_to_array(blob) for blob in caffe_pb2.BlobProtoVector.FromString(str).blobs]


def array_to_datum(arr, label=None):
    """Return a Datum with the values of `arr`, K x H x W: as bytes if they are uint8, else as floats.

    Raises
    ------
    ValueError
        If the array does not have three axes.
    """
    if arr.ndim != 3:
        raise ValueError(f"Incorrect array shape: {arr.shape}, not channels x height x width.")
    datum = caffe_pb2.Datum(channels=arr.shape[0], height=arr.shape[1], width=arr.shape[2])
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(float).ravel())
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum):
    """Return the values of a Datum that is not encoded, K x H x W: uint8 if they are bytes, else float."""
    values = np.frombuffer(datum.data, np.uint8).copy() if datum.data else np.array(datum.float_data, float)
    return values.reshape(datum.channels, datum.height, datum.width)


# --- Preprocessing.


class Transformer:
    """Turns images into a net's inputs, and back.

    Parameters
    ----------
    inputs : dict
        For each input of the net, the shape of its blob, N x K x H x W.
    """

    def __init__(self, inputs):
        self.inputs = inputs
        self.transpose = {}
        self.channel_swap = {}
        self.raw_scale = {}
        self.mean = {}
        self.input_scale = {}

    def __check_input(self, in_):
        if in_ not in self.inputs:
            raise Exception(f"{in_} is not one of the net inputs: {self.inputs}")

    def preprocess(self, in_, data):
        """Return an image as an input of the net: float32, K x H x W.

        The image is resized to the input's height and width, transposed, its channels swapped, multiplied
        by the raw scale, the mean subtracted, and the rest multiplied by the input scale, each as far as set.

        Parameters
        ----------
        in_ : str
            The input.
        data : array of shape (H', W', K)
            Is not written to.
        """
        self.__check_input(in_)
        values = data.astype(np.float32)
        size = tuple(self.inputs[in_][2:])
        if values.shape[:2] != size:
            values = resize_image(values, size)
        if self.transpose.get(in_) is not None:
            values = values.transpose(self.transpose[in_])
        if self.channel_swap.get(in_) is not None:
            values = values[list(self.channel_swap[in_])]
        if self.raw_scale.get(in_) is not None:
            values *= self.raw_scale[in_]
        if self.mean.get(in_) is not None:
            values -= self.mean[in_]
        if self.input_scale.get(in_) is not None:
            values *= self.input_scale[in_]
        return values

    def deprocess(self, in_, data):
        """Return the image that `preprocess` made an input from, except for its size.

        Parameters
        ----------
        in_ : str
            The input.
        data : array of shape (K, H, W), or (1, K, H, W)
            Is not written to.
        """
        self.__check_input(in_)
        values = data.reshape(data.shape[1 - len(self.inputs[in_]) :]).copy()
        if self.input_scale.get(in_) is not None:
            values /= self.input_scale[in_]
        if self.mean.get(in_) is not None:
            values += self.mean[in_]
        if self.raw_scale.get(in_) is not None:
            values /= self.raw_scale[in_]
        if self.channel_swap.get(in_) is not None:
            values = values[np.argsort(self.channel_swap[in_])]
        if self.transpose.get(in_) is not None:
            values = values.transpose(np.argsort(self.transpose[in_]))
        return values

    def set_transpose(self, in_, order):
        """Set the order of axes: (2, 0, 1) makes K x H x W of H x W x K."""
        self.__check_input(in_)
        if len(order) != len(self.inputs[in_]) - 1:
            raise Exception("Transpose order needs to have the same number of dimensions as the input.")
        self.transpose[in_] = order

    def set_channel_swap(self, in_, order):
        """Set the order of channels, which come first after the transposition: (2, 1, 0) makes BGR of RGB."""
        self.__check_input(in_)
        if len(order) != self.inputs[in_][1]:
            raise Exception("Channel swap needs to have the same number of dimensions as the input channels.")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_, scale):
        """Set the factor before the mean is subtracted: 255 for images of 0 to 1 and a net for 0 to 255."""
        self.__check_input(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_, mean):
        """Set the mean to subtract.

        Parameters
        ----------
        in_ : str
            The input.
        mean : array of shape (K,), (H', W') or (K, H', W')
            A value for each channel, or an image, which is resized to the input's height and width.
        """
        self.__check_input(in_)
        shape = tuple(self.inputs[in_][1:])
        if mean.ndim == 1:
            if len(mean) != shape[0]:
                raise ValueError("Mean channels incompatible with input.")
            mean = mean[:, None, None]
        elif mean.ndim in (2, 3):
            image = mean.reshape((-1, *mean.shape[-2:]))
            if image.shape != shape:
                mean = resize_image(image.transpose(1, 2, 0), shape[1:]).transpose(2, 0, 1)
        else:
            raise ValueError("Mean shape invalid")
        self.mean[in_] = mean

    def set_input_scale(self, in_, scale):
        """Set the factor after the mean is subtracted."""
        self.__check_input(in_)
        self.input_scale[in_] = scale


# --- Images.


def load_image(filename, color=True):
    """Return the image of a file as float32 of 0 to 1.

    Returns
    -------
    array of shape (H, W, 3), or (H, W, 1) if not `color`
        RGB, or the intensity. An alpha channel is left out.
    """
    import skimage.io

    image = skimage.img_as_float(skimage.io.imread(filename, as_gray=not color)).astype(np.float32)
    if image.ndim == 2:
        return np.repeat(image[:, :, None], 3 if color else 1, axis=2)
    return image[:, :, :3] if image.shape[2] == 4 else image


def resize_image(im, new_dims, interp_order=1):
    """Return an image in another size, interpolated without smoothing.

    Parameters
    ----------
    im : array of shape (H, W, K)
    new_dims : (int, int)
        Height and width.
    interp_order : int
        Order of the interpolation: 1 is linear.

    Returns
    -------
    array of shape (height, width, K), float32
    """
    import skimage.transform
    from scipy import ndimage

    if im.shape[-1] not in (1, 3):
        factors = (new_dims[0] / im.shape[0], new_dims[1] / im.shape[1], 1)
        return ndimage.zoom(im, factors, order=interp_order).astype(np.float32)
    low, high = im.min(), im.max()
    if low == high:
        return np.full((*new_dims, im.shape[-1]), low, np.float32)
    # scikit-image takes values of 0 to 1.
    unit = (im - low) / (high - low)
    unit = skimage.transform.resize(unit, new_dims, order=interp_order, mode="constant", anti_aliasing=False)
    return (unit * (high - low) + low).astype(np.float32)


def oversample(images, crop_dims):
    """Return ten crops of each image: its corners and its centre, and these mirrored.

    Parameters
    ----------
    images : sequence of arrays of shape (H, W, K)
        Of one size.
    crop_dims : (int, int)
        Height and width of the crops.

    Returns
    -------
    array of shape (10 * len(images), height, width, K), float32
    """
    height, width = crop_dims
    bottom, right = images[0].shape[0] - height, images[0].shape[1] - width
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right)]
    crops = []
    for image in images:
        five = [image[y : y + height, x : x + width] for y, x in [*corners, (bottom // 2, right // 2)]]
        crops += five + [crop[:, ::-1] for crop in five]
    return np.stack(crops).astype(np.float32)
