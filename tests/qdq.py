"""Float models wrapped in QuantizeLinear and DequantizeLinear, as quantizers export them, and small models in QLinear form."""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper, numpy_helper, shape_inference

_DOTS = {"Conv": 0, "Gemm": 1, "MatMul": 1, "ConvTranspose": 1}  # operator -> the axis of the weight's output channels
_FREE = ("ArgMax",)  # reads reals, gives an index


@dataclass(frozen=True)
class Style:
    """How a quantizer writes. `activations`, `weights`: NumPy types; `folded`: weights are stored as integers."""

    activations: type = np.int8
    weights: type = np.int8
    per_channel: bool = True
    zero_points: bool = True
    folded: bool = True
    bias: str = "int32"  # or "float"


STYLES = (
    Style(), Style(np.uint8, np.uint8, per_channel=False), Style(zero_points=False, folded=False, bias="float"),
    Style(np.uint8, np.int8, bias="float"),
)  # fmt: skip


def wrapped(model, ranges, style: Style, samples: int = 16):
    """`model` (float, opset 13 or later) with every computed real tensor quantized over its range on random samples."""
    observed = _ranges(model, ranges, samples)
    out = _Wrapper(model, style, observed)
    return out.model()


def _ranges(model, ranges, samples: int) -> dict[str, tuple[float, float]]:
    """Real (lo, hi) of all float values that depend on an input."""
    import onnxruntime as ort

    inferred = shape_inference.infer_shapes(model)
    depends = {v.name for v in model.graph.input}
    for node in model.graph.node:
        if depends.intersection(node.input):
            depends.update(node.output)
    kinds = {v.name: v.type.tensor_type.elem_type for v in inferred.graph.value_info}
    names = [n for n in kinds if n in depends and kinds[n] == TensorProto.FLOAT]
    whole = type(model)()
    whole.CopyFrom(model)
    have = {o.name for o in model.graph.output}
    whole.graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names if n not in have)
    session = ort.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    rng, seen = np.random.default_rng(0), {}
    for _ in range(samples):
        feed = {}
        for v in session.get_inputs():
            shape = [d if isinstance(d, int) else 1 for d in v.shape]
            feed[v.name] = rng.uniform(*ranges.get(v.name, (0, 1)), shape).astype(np.float32)
        results = dict(zip((o.name for o in session.get_outputs()), session.run(None, feed), strict=True))
        for name, array in {**feed, **results}.items():
            if array.dtype == np.float32 and np.isfinite(array).all():
                lo, hi = seen.get(name, (0.0, 0.0))
                seen[name] = (min(lo, float(array.min())), max(hi, float(array.max())))
    return seen


class _Wrapper:
    def __init__(self, model, style: Style, observed):
        self.source, self.style, self.observed = model, style, observed
        self.nodes, self.constants, self.scales = [], list(model.graph.initializer), {}
        self.arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self.outputs = {o.name for o in model.graph.output}

    def constant(self, name: str, array) -> str:
        if name not in {c.name for c in self.constants}:
            self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def model(self):
        for v in self.source.graph.input:
            if v.name in self.observed:
                self.quantize(v.name, v.name, f"{v.name}_dq")
        for node in self.source.graph.node:
            self.node(node)
        graph = helper.make_graph(
            self.nodes, "wrapped", self.source.graph.input, self.source.graph.output, self.constants
        )
        opsets = list(self.source.opset_import)
        if np.iinfo(self.style.activations).bits > 8:
            opsets = [helper.make_opsetid("", max(21, opsets[0].version))]
        return helper.make_model(graph, opset_imports=opsets, ir_version=self.source.ir_version)

    def node(self, node) -> None:
        copy = type(node)()
        copy.CopyFrom(node)
        copy.input[:] = [f"{n}_dq" if n in self.observed else n for n in node.input]
        if node.op_type in _DOTS and node.input[1] in self.arrays:
            transposed = node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute)
            self.weight(copy, node, 0 if transposed else _DOTS[node.op_type])
        self.nodes.append(copy)
        for i, name in enumerate(node.output):
            if name not in self.observed or node.op_type in _FREE:
                continue
            real, back = name, f"{name}_dq"
            if name in self.outputs:
                real, back = f"{name}_real", name
                copy.output[i] = real
            self.quantize(real, name, back)
            if back == name and any(name in n.input for n in self.source.graph.node):
                self.nodes.append(helper.make_node("Identity", [name], [f"{name}_dq"], name=f"{name} again"))

    def quantize(self, real: str, name: str, back: str) -> None:
        """Nodes from `real` to the value `back` that readers take, by the range of `name`."""
        s, (lo, hi), info = self.style, self.observed[name], np.iinfo(self.style.activations)
        if s.zero_points:
            scale = np.float32((hi - lo) / (info.max - info.min) or 1)
            zero = int(np.clip(np.rint(info.min - lo / scale), info.min, info.max))
        else:
            scale, zero = np.float32(max(-lo, hi) / info.max or 1), 0
        self.scales[back] = scale
        names = [self.constant(f"{name}_scale", scale), self.constant(f"{name}_zero", np.asarray(zero, s.activations))]
        self.nodes.append(helper.make_node("QuantizeLinear", [real, *names], [f"{name}_q"], name=f"{name} Q"))
        self.nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", *names], [back], name=f"{name} DQ"))

    def weight(self, copy, node, axis: int) -> None:
        """The weight of `node` in integers, per output channel or not, and its bias in steps of the accumulator."""
        s, w, info = self.style, self.arrays[node.input[1]], np.iinfo(self.style.weights)
        others = tuple(i for i in range(w.ndim) if i != axis)
        lo, hi = (w.min(others), w.max(others)) if s.per_channel else (w.min(), w.max())
        if info.min:
            scale = np.maximum(np.maximum(-lo, hi), 1e-6) / info.max
            zero = np.zeros_like(scale)
        else:
            lo, hi = np.minimum(lo, 0), np.maximum(hi, 1e-6)
            scale = (hi - lo) / 255
            zero = np.rint(-lo / scale)
        scale, zero = np.asarray(scale, np.float32), np.asarray(zero, s.weights)
        stem = node.name.replace(" ", "_")
        names = [self.constant(f"{stem}_w_scale", scale), self.constant(f"{stem}_w_zero", zero)]
        attrs = {"axis": axis} if s.per_channel else {}
        if s.folded:
            shape = [-1 if i == axis else 1 for i in range(w.ndim)] if s.per_channel else []
            q = np.clip(np.rint(w / scale.reshape(shape)) + zero.reshape(shape).astype(np.int64), info.min, info.max)
            integers = self.constant(f"{stem}_w_q", q.astype(s.weights))
        else:
            self.nodes.append(helper.make_node("QuantizeLinear", [node.input[1], *names], [f"{stem}_w_q"], **attrs))
            integers = f"{stem}_w_q"
        self.nodes.append(helper.make_node("DequantizeLinear", [integers, *names], [f"{stem}_w_dq"], **attrs))
        copy.input[1] = f"{stem}_w_dq"
        plain = node.op_type == "Conv" or not any(a.name in ("alpha", "beta") for a in node.attribute)
        if s.bias == "int32" and len(node.input) > 2 and plain and self.arrays[node.input[2]].ndim == 1:
            outputs = len(self.arrays[node.input[2]])  # of a transposed convolution in groups: every group's
            per = np.broadcast_to(scale, (w.shape[axis],))
            step = (self.scales[copy.input[0]] * np.tile(per, outputs // len(per))).astype(np.float32)
            bias = np.rint(self.arrays[node.input[2]] / step).astype(np.int32)
            names = [self.constant(f"{stem}_b_q", bias), self.constant(f"{stem}_b_scale", step)]
            self.nodes.append(helper.make_node("DequantizeLinear", names, [f"{stem}_b_dq"], axis=0))
            copy.input[2] = f"{stem}_b_dq"
