"""Fusion of the jets of one activation into one op of several outputs; elimination of dead ops.

A fused op comes after all ops that it depends on. Where fused ops would depend on each other in a cycle, none is fused.
"""

from fastbp._engine.derivative_rules import SECOND
from fastbp._engine.tables import ACTIVATIONS

MOST_INPUTS = 256  # of an op: kernels/ops/jets.pxi


def needed(ops, wanted):
    """The ops on which some tensors depend, in order."""
    wanted, kept = set(wanted), []
    for op in reversed(ops):
        if op[2] in wanted or _others(op) & wanted:
            kept.append(op)
            wanted.update(op[1])
    return kept[::-1]


def _others(op):
    return set(op[4].get("others", ()))


def compact(widths, ops, tensors):
    """The widths and ops of only the tensors in use, renumbered, and the new numbers, those of `tensors` included."""
    used = sorted({*tensors, *(t for op in ops for t in (*op[1], op[2], *_others(op)))})
    new = {t: k for k, t in enumerate(used)}
    renamed = []
    for kind, parents, made, offsets, settings in ops:
        if "others" in settings:
            settings = {**settings, "others": tuple(new[t] for t in settings["others"])}
        renamed.append((kind, tuple(new[t] for t in parents), new[made], offsets, settings))
    return [widths[t] for t in used], renamed, new


def fused(ops, public):
    """The ops with the jets of each activation fused, except jets that make a public tensor."""
    groups = _groups(ops, public)
    made = {member: k for k, group in enumerate(groups) for member in group}
    together = [[ops[member] for member in group] for group in groups]
    order = _order(ops, groups, made)
    return list(ops) if order is None else [_one(together[k]) for k in order]


def _key(op):
    """What ops share that can be fused; None for an op that cannot be."""
    kind, parents, made, _, settings = op
    function = tuple(settings.get(name) for name in ("activation", "alpha", "beta"))
    if kind == "jet" and "others" not in settings:
        return (*parents[:2], *function)
    row = ACTIVATIONS.get(settings.get("activation"))
    if kind == "activation" and row is not None and not row.by_rows and not row.draws and function[0] != "linear":
        return (parents[0], made, *function)
    return None


def _groups(ops, public):
    """Groups of the numbers of ops that become one, in the order of their first ops."""
    makers = {op[2]: k for k, op in enumerate(ops)}
    above = []  # for each op a bit set: the op itself and those that it depends on
    for k, op in enumerate(ops):
        bits = 1 << k
        for t in op[1]:
            if t in makers:
                bits |= above[makers[t]]
        above.append(bits)
    groups, open_ = [], {}
    for k, op in enumerate(ops):
        key = None if op[0] == "jet" and op[2] in public else _key(op)
        group = open_.get(key)
        if key is None or group is None or not _joins(ops, op, group, above, makers):
            groups.append([k])
            if key is not None:
                open_[key] = groups[-1]
        else:
            group.append(k)
    return groups


def _joins(ops, op, group, above, makers):
    """Whether a jet may join a group: none of its inputs but the value Y depends on the group."""
    inputs = {t for k in group for t in ops[k][1]} | set(op[1])
    if op[0] != "jet" or len(inputs) > MOST_INPUTS - 2:
        return False
    value = op[1][1]
    waits = 0
    for t in op[1]:
        if t in makers and not (t == value and makers[t] in group):
            waits |= above[makers[t]]
    return not any(waits >> k & 1 for k in group)


def _order(ops, groups, made):
    """The groups in topological order; None if they depend on each other in a cycle."""
    makers = {op[2]: made[k] for k, op in enumerate(ops)}
    waiting, after = [], [[] for _ in groups]
    for k, group in enumerate(groups):
        needs = {makers[t] for member in group for t in ops[member][1] if t in makers} - {k}
        waiting.append(len(needs))
        for other in needs:
            after[other].append(k)
    free, order = sorted((k for k, count in enumerate(waiting) if count == 0), reverse=True), []
    while free:
        k = free.pop()
        order.append(k)
        for other in after[k]:
            waiting[other] -= 1
            if waiting[other] == 0:
                free.append(other)
        free.sort(reverse=True)
    return order if len(order) == len(groups) else None


def _one(members):
    """One op for an activation and its jets."""
    if len(members) == 1:
        return members[0]
    first, has_value = members[0], members[0][0] == "activation"
    jets = members[1:] if has_value else members
    Z, Y = jets[0][1][:2]
    values, moving = [Z, *(() if has_value else (Y,))], list(dict.fromkeys(t for jet in jets for t in jet[1][2:]))
    parents, place = [*values, *moving], {t: len(values) + k for k, t in enumerate(moving)}
    heads, pairs = [], []
    for _, inputs, _, _, settings in jets:
        _, _, kind, given, start, stop, *numbers = settings["table"]
        begin = len(pairs) // 3
        for k in range(start, stop if kind == SECOND else start):
            i, j, weight = numbers[3 * k : 3 * k + 3]
            pairs += [place[inputs[i]], place[inputs[j]], weight]
        heads += [kind, -1 if given < 0 else place[inputs[given]], begin, len(pairs) // 3]
    outputs = [*([first[2]] if has_value else []), *(jet[2] for jet in jets)]
    settings = {key: first[4][key] for key in ("activation", "alpha", "beta") if key in first[4]}
    settings |= {"table": (int(has_value), len(jets), *heads, *pairs), "others": tuple(outputs[1:])}
    return ("jet", tuple(parents), outputs[0], (), settings)
