"""Makes the models that the tests load: python3 generate.py (needs the onnx package)."""
import numpy as np
import onnx
from onnx import TensorProto as T, helper as h, numpy_helper as nh


def save(name, nodes, inputs, outputs, **weights):
    graph = h.make_graph(
        nodes, name,
        [h.make_tensor_value_info(n, t, s) for n, t, s in inputs],
        [h.make_tensor_value_info(n, t, s) for n, t, s in outputs],
        [nh.from_array(w, n) for n, w in weights.items()],
    )
    model = h.make_model(graph, ir_version=8, opset_imports=[h.make_opsetid("", 15)])
    onnx.checker.check_model(model)
    onnx.save(model, name + ".onnx")


def linear(name, features, outputs, rows="rows", dtype=T.FLOAT, inner=None):
    """logits = pixels x W + b with W[i][o] = ((i + 3 o) mod 7 - 3) / 4 and b[o] = o: exact in float32."""
    i, o = np.ogrid[:features, :outputs]
    w = (((i + 3 * o) % 7 - 3) / 4).astype(np.float32)
    b = np.arange(outputs, dtype=np.float32)
    cast = [] if dtype == T.FLOAT else [h.make_node("Cast", ["pixels"], ["x"], to=T.FLOAT)]
    x = "pixels" if dtype == T.FLOAT else "x"
    save(name, cast + [h.make_node("Gemm", [x, "w", "b"], ["logits"])],
         [("pixels", dtype, [rows, inner or features])], [("logits", T.FLOAT, [rows, outputs])], w=w, b=b)


linear("linear", 784, 10)
linear("fixed", 4, 3, rows=1)
linear("open", 4, 3, inner="width")
linear("uint8", 4, 3, dtype=T.UINT8)
linear("int64", 4, 3, dtype=T.INT64)

# Two inputs and two outputs, one of them a single number a row, the other of another type.
save("two",
     [h.make_node("Add", ["a", "b"], ["sum"]),
      h.make_node("ReduceSum", ["sum", "axes"], ["total"], keepdims=0),
      h.make_node("ArgMax", ["sum"], ["index"], axis=1, keepdims=1)],
     [("a", T.DOUBLE, ["rows", 3]), ("b", T.DOUBLE, ["rows", 3])],
     [("total", T.DOUBLE, ["rows"]), ("index", T.INT64, ["rows", 1])],
     axes=np.array([1], dtype=np.int64))

# Returns one row whatever it is given.
save("onerow", [h.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)],
     [("x", T.FLOAT, ["rows", 3])], [("y", T.FLOAT, ["out_rows", 3])], axes=np.array([0], dtype=np.int64))

# Loses the last row of a batch that has several.
save("lastrow", [h.make_node("Slice", ["x", "start", "end"], ["y"])],
     [("x", T.FLOAT, ["rows", 3])], [("y", T.FLOAT, ["out_rows", 3])],
     start=np.array([0], dtype=np.int64), end=np.array([-1], dtype=np.int64))

# Fails on an index that the table does not have.
save("lookup", [h.make_node("Gather", ["table", "index"], ["value"])],
     [("index", T.INT64, ["rows", 2])], [("value", T.FLOAT, ["rows", 2])],
     table=np.array([0.5, 1.5, 2.5, 3.5], dtype=np.float32))
