"""A small net in the way of the authors' prototxts, branch by branch: 2 x 2 patches of a 12 x 12 map."""

INPUT = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 14 dim: 14 } } }
"""

DATA = """
layer { name: "data" type: "MultilabelImageData" top: "data" top: "label" include { phase: TRAIN }
  transform_param { mirror: true crop_size: 14 mean_file: "mean.binaryproto" }
  image_data_param { source: "train.txt" batch_size: 3 multilabel_num: 3 } }
layer { name: "data" type: "MultilabelImageData" top: "data" top: "label" include { phase: TEST }
  transform_param { mirror: false crop_size: 14 mean_file: "mean.binaryproto" }
  image_data_param { source: "val.txt" batch_size: 2 multilabel_num: 3 } }
"""

CONV1 = """
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 4 kernel_size: 3
    weight_filler { type: "gaussian" std: 0.01 } bias_filler { type: "constant" value: 0 } } }
"""

PLACES = "xcoord: 0 xcoord: 6 xcoord: 0 xcoord: 6 ycoord: 0 ycoord: 0 ycoord: 6 ycoord: 6"

REST = """
layer { name: "relu_res" type: "ReLU" bottom: "add" top: "add" }
layer { name: "pool1" type: "Pooling" bottom: "add" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "fc8" type: "InnerProduct" bottom: "pool1" top: "fc8"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.1 } } }
"""

PROB = 'layer { name: "prob" type: "Sigmoid" bottom: "fc8" top: "prob" }\n'
LOSS = """
layer { name: "loss" type: "MultiSigmoidCrossEntropyLoss" bottom: "fc8" bottom: "label" top: "loss" }
"""


def branches(*, norm="batch_param { use_global_stats: false }", scale=False, identity=True):
    """Write the layers from Box to Eltwise; without `norm` nothing is normalised."""
    text = f"""
layer {{ name: "clipping" type: "Box" bottom: "conv1" top: "out1" top: "out2" top: "out3" top: "out4"
  box_param {{ width: 6 height: 6 {PLACES} }} }}"""
    for i in range(1, 5):
        blob = f"bn1_{i}" if norm is not None else f"out{i}"
        if norm is not None:
            kind = "BatchNorm" if norm.startswith("batch_norm") else "Batch"
            text += f"""
layer {{ type: "{kind}" name: "bn1_{i}" bottom: "out{i}" top: "bn1_{i}" {norm}
  param {{ lr_mult: 0 }} param {{ lr_mult: 0 }} param {{ lr_mult: 0 }} }}"""
        if scale:
            text += f"""
layer {{ type: "Scale" name: "scale1_{i}" bottom: "{blob}" top: "scaled1_{i}"
  scale_param {{ bias_term: true }} param {{ lr_mult: 3 }} param {{ lr_mult: 4 }} }}"""
            blob = f"scaled1_{i}"
        text += f"""
layer {{ type: "ReLU" name: "relu1_{i}" bottom: "{blob}" top: "{blob}" }}
layer {{ type: "Convolution" name: "conv1_{i}" bottom: "{blob}" top: "res1_{i}"
  param {{ lr_mult: 1 decay_mult: 1 }} param {{ lr_mult: 2 decay_mult: 0 }}
  convolution_param {{ num_output: 4 kernel_size: 3 pad: 1
    weight_filler {{ type: "gaussian" std: 0.01 }} bias_filler {{ type: "constant" value: 1 }} }} }}"""
    top = "concat" if identity else "add"
    text += f"""
layer {{ name: "Splice" type: "Splice" bottom: "res1_1" bottom: "res1_2" bottom: "res1_3" bottom: "res1_4"
  top: "{top}" splice_param {{ {PLACES} }} }}"""
    if identity:
        text += """
layer { type: "Eltwise" name: "add" bottom: "conv1" bottom: "concat" top: "add"
  eltwise_param { operation: SUM } }
"""
    return text


def deploy(**options):
    """Return the net's deploy prototxt."""
    return 'name: "authors"' + INPUT + CONV1 + branches(**options) + REST + PROB


def train_val(**options):
    """Return the net as it trains from lists of images."""
    return 'name: "authors"' + DATA + CONV1 + branches(**options) + REST + LOSS
