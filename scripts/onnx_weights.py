"""Makes model.safetensors of the ONNX file of an encoder like BERT: `onnx_weights.py MODEL.onnx model.safetensors`.

The exporter has kept the names of all weights but those of products, which it has transposed and numbered: each is named
by the node that multiplies with it.
"""

import sys

import numpy
import onnx
from onnx import numpy_helper
from safetensors.numpy import save_file

model = onnx.load(sys.argv[1])
numbers = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
weights = {name: array for name, array in numbers.items() if name.startswith(("embeddings.", "encoder."))}
for node in model.graph.node:
    if node.op_type == "MatMul" and node.input[1] in numbers:
        name = node.name.removeprefix("/").removesuffix("/MatMul").replace("/", ".") + ".weight"
        weights[name] = numpy.ascontiguousarray(numbers[node.input[1]].T)
save_file(weights, sys.argv[2])
