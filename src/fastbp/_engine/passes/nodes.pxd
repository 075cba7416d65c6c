"""The fields of a node that a program fills in once: settings, parameters, which nodes share these, and outputs."""
from libc.stdint cimport int64_t

from fastbp._engine.kernel_table cimport Activation, Constraint, Tensor
from fastbp._engine.memory cimport address
from fastbp._engine.plan cimport Node, Plan
from fastbp._engine.program cimport Program
from fastbp._engine.tables cimport row_named


cdef inline void fill_settings(Program program, Node* node, spec) except *:
    """The settings that the node's kind uses, and the constraint of its weights."""
    node.op.activation = <const Activation*> row_named(
        program.plan.kernels.activations, sizeof(Activation), spec.settings.get("activation", "linear"))
    node.op.alpha, node.op.beta = spec.settings.get("alpha", 0), spec.settings.get("beta", 0)
    node.op.first, node.op.step = spec.settings.get("first", 0), spec.settings.get("step", 1)
    node.op.key = spec.settings.get("key", 0)
    if "values" in spec.settings:
        import numpy as np
        values = np.array(spec.settings["values"], program.dtype)
        program.arrays.append(values)
        node.op.W = <void*> address(values, program.widths[spec.output] * program.plan.kernels.item)
    if "constraint" in spec.settings:
        name, node.limit = spec.settings["constraint"]
        node.constraint = <const Constraint*> row_named(
            program.plan.kernels.constraints, sizeof(Constraint), name)
        program.plan.n_constrained += 1
    node.weight_rows = program.widths[spec.inputs[0]] if spec.kind == "dense" else spec.settings.get("rows", 1)
    node.weight_columns = spec.settings.get("columns", program.widths[spec.output])
    if spec.kind == "embedding":
        node.weight_columns //= program.widths[spec.inputs[0]]
        program.plan.any_table = True


cdef inline void place_parameters(Plan* plan, Node* node, offsets, const char* end) except *:
    """Where the parameters of a node lie in the flat vectors; W may be read up to `end`."""
    cdef Py_ssize_t item = plan.kernels.item
    weights, bias, mean, variance = (*offsets, *[-1] * 4)[:4]
    node.weights, node.bias = weights, bias
    if node.weights >= 0:
        node.op.W, node.op.W_end = plan.params + node.weights * item, end
        node.op.dW = plan.grads + node.weights * item
    if node.bias >= 0:
        node.op.b = plan.params + node.bias * item
        node.op.db = plan.grads + node.bias * item
    if mean >= 0:
        node.op.running_mean = plan.params + <Py_ssize_t> mean * item
        node.op.running_variance = plan.params + <Py_ssize_t> variance * item


cdef inline void share_parameters(Plan* plan, Py_ssize_t k, dict seen) except *:
    """Nodes with the same parameters add up their gradients, and the last of them updates.

    The last that has the weights and the last that has the bias may differ: an op of a derivative has no bias.
    """
    cdef Node* node = plan.nodes + k
    cdef Node* before
    if node.weights < 0:
        return
    node.shares_gradient = node.weights in seen
    node.last_of_parameters = True
    if node.shares_gradient:
        before = plan.nodes + <Py_ssize_t> seen[node.weights]
        before.last_of_parameters = False
        if node.constraint == NULL:
            node.constraint, node.limit = before.constraint, before.limit
    seen[node.weights] = k
    if node.bias >= 0:
        node.last_of_bias = True
        node.shares_bias = ("bias", node.bias) in seen
        if node.shares_bias:
            plan.nodes[<Py_ssize_t> seen["bias", node.bias]].last_of_bias = False
        seen["bias", node.bias] = k


cdef inline void several_outputs(Program program, Node* node, spec) except *:
    """Room for the tensors of an op that has a table, and the table."""
    cdef Py_ssize_t n = 1 + len(spec.others)
    node.op.outputs = n
    if "table" not in spec.settings:
        return
    import numpy as np
    table = np.array(spec.settings["table"], np.int64)
    program.arrays.append(table)
    node.op.table = <const int64_t*> address(table, table.nbytes)
    node.op.Ys = <Tensor*> program.own(n * sizeof(Tensor))
    node.op.dYs = <Tensor*> program.own(n * sizeof(Tensor))
