"""A graph with derivatives in it: nodes of a net as ops, and tangents of any of its tensors as further ops.

Every op has a tangent rule, also those that the rules make, so a tangent can be differentiated again. Common
subexpressions are merged: ops with the same parents and settings are one tensor. Directions along an input are
columns of the identity (`unit`), whose products with W are rows of W; tensors of zeros are never computed.
"""

from typing import NamedTuple

from fastbp._engine import derivative_rules as rules
from fastbp._engine.tables import ACTIVATIONS
from fastbp._engine.tangent_graph import TANGENT_RULES, NoTangentRule, Tangents

# Kinds whose output is linear in all of their inputs together: a Laplacian goes through them as a tangent does.
LINEAR = {"affine", "add", "subtract", "concatenate", "slice", "broadcast", "sum", "scatter", "interleave"}
LINEAR |= {"dense", "transposed", "scale", "batch_norm"}
MOST_DIRECTIONS = 200  # of a Laplacian in one jet, which takes at most 256 inputs


class Along(NamedTuple):
    """A direction: along column `column` of a tensor, or of the tensor along another one."""

    tensor: int
    column: int
    along: int | None = None


class DerivativeGraph(Tangents):
    """Ops of a net and of derivatives in it; `crossed` nodes become ops that derivatives can go through."""

    def __init__(self):
        super().__init__()
        self.made, self.maker, self.constants = {}, {}, {}
        self.moved, self.laplacians, self.limits = {}, {}, {}

    def op(self, kind, parents, width=None, offsets=(), along=False, **settings):
        """The tensor that an op makes, the same for the same op."""
        width = self.widths[parents[0]] if width is None else width
        folded = self._folded(kind, list(parents), width, offsets, settings)
        if folded is not None:
            return folded
        if kind == "dense":
            settings = {"activation": "linear", **settings, **self.limits.get(offsets[0], {})}
        key = (kind, tuple(parents), width, tuple(offsets), _hashable(settings))
        if key not in self.made:
            self.made[key] = self._emit(kind, parents, width, offsets, settings)
        return self.made[key]

    def _emit(self, kind, parents, width, offsets, settings):
        made = super().op(kind, parents, width, offsets, **settings)
        self.maker[made] = len(self.ops) - 1
        return made

    def node(self, kind, parents, width, offsets, settings, crossed):
        """The tensor of a net's node: one op, or where derivatives go through it (`crossed`) those of its rule."""
        if not crossed:
            return self._emit(kind, parents, width, offsets, settings)
        if kind not in TANGENT_RULES:
            raise NoTangentRule(kind)
        if "constraint" in settings:
            self.limits[offsets[0]] = {"constraint": settings["constraint"]}
        made, _ = TANGENT_RULES[kind](self, list(parents), [None] * len(parents), width, offsets, settings)
        return self.copy(made) if made in parents else made

    def copy(self, t):
        """A new tensor with the numbers of another."""
        return self._emit("affine", [t], self.widths[t], (), {"alpha": 1.0, "beta": 0.0})

    # Directions and constants

    def unit(self, width, column, value=1.0):
        """A constant row: value in one column, 0 elsewhere."""
        made = self.op("unit", [], width, first=column, alpha=float(value))
        self.constants[made] = (column, float(value))
        return made

    def zero(self, width):
        """A constant row of zeros."""
        made = self.or_zero(None, width)
        self.constants[made] = (-1, 0.0)
        return made

    def or_zero(self, T, width):
        if T is not None:
            return T
        made = super().or_zero(T, width)
        self.constants[made] = (-1, 0.0)
        return made

    def _folded(self, kind, parents, width, offsets, settings):
        """Constant folding: the constant row or the row of W that an op of constant rows gives; None for others."""
        known = [self.constants.get(t) for t in parents]
        if not known or None in known:
            return self.zero(width) if kind == "multiply" and (-1, 0.0) in known else None
        column, value = known[0]
        if kind == "dense" and offsets[1] < 0:
            if column < 0:
                return self.zero(width)
            size = self.widths[parents[0]]
            return self.op(
                "weight_row", [], width, (offsets[0], -1), first=column, alpha=value, rows=size, columns=width
            )
        if kind == "affine" and not settings.get("beta"):
            return self.unit(width, column, value * settings["alpha"]) if column >= 0 else self.zero(width)
        if kind == "slice":
            place, rest = divmod(column - settings["first"], settings["step"])
            inside = column >= 0 and rest == 0 and 0 <= place < width
            return self.unit(width, place, value) if inside else self.zero(width)
        if kind == "concatenate":
            starts = [sum(self.widths[t] for t in parents[:k]) for k in range(len(parents))]
            ones = [(start + c, v) for start, (c, v) in zip(starts, known, strict=True) if c >= 0]
            return self.zero(width) if not ones else self.unit(width, *ones[0]) if len(ones) == 1 else None
        return None

    def column(self, tensor, c):
        """The direction along a column of a tensor."""
        direction = Along(tensor, c)
        self.moved.setdefault((tensor, direction), self.unit(self.widths[tensor], c))
        return direction

    def along(self, tensor, V):
        """The direction of a tensor along another one of its width."""
        direction = Along(tensor, -1, V)
        self.moved.setdefault((tensor, direction), V)
        return direction

    # Derivatives

    def before(self, t, known):
        """The ops that lead to a tensor, in order, back to tensors for which `known` is true."""
        pending, found = [t], set()
        while pending:
            t = pending.pop()
            k = self.maker.get(t)
            if k is None or k in found or known(t):
                continue
            found.add(k)
            pending.extend(self.ops[k][1])
        return sorted(found)

    def tangent(self, t, direction):
        """The tangent of a tensor along a direction; None for 0."""
        for k in self.before(t, lambda each: (each, direction) in self.moved):
            kind, parents, made, offsets, settings = self.ops[k]
            ts = [self.moved.get((parent, direction)) for parent in parents]
            T = None
            if any(each is not None for each in ts):
                if kind not in TANGENT_RULES:
                    raise NoTangentRule(kind)
                _, T = TANGENT_RULES[kind](self, list(parents), ts, self.widths[made], offsets, settings)
            self.moved[made, direction] = None if self.constants.get(T) == (-1, 0.0) else T
        return self.moved.get((t, direction))

    def laplacian(self, t, directions):
        """The sum of a tensor's second derivatives along the directions, None for 0: the forward Laplacian.

        Li et al. 2023: beside the tangents of all directions only the sum of the second derivatives is carried.
        """
        for d in directions:
            self.tangent(t, d)
        key = tuple(directions)
        start = directions[0].tensor
        for k in self.before(t, lambda each: each == start or (each, key) in self.laplacians):
            kind, parents, made, offsets, settings = self.ops[k]
            self.laplacians[made, key] = self._laplacian_of(key, kind, parents, made, offsets, settings)
        return self.laplacians.get((t, key))

    def _laplacian_of(self, key, kind, parents, made, offsets, settings):
        ls = [self.laplacians.get((parent, key)) for parent in parents]
        ts = [[self.tangent(parent, d) for d in key] for parent in parents]
        if all(L is None for L in ls) and all(T is None for each in ts for T in each):
            return None
        if kind in LINEAR:
            if all(L is None for L in ls):
                return None
            return TANGENT_RULES[kind](self, list(parents), ls, self.widths[made], offsets, settings)[1]
        if kind == "activation" and not ACTIVATIONS[settings["activation"]].by_rows:
            pieces = [ts[0][k : k + MOST_DIRECTIONS] for k in range(0, len(key), MOST_DIRECTIONS)]
            given = [ls[0], *[None] * (len(pieces) - 1)]
            return self.sum([
                rules.second(self, parents[0], made, L, [(T, T, 1) for T in piece], settings)
                for L, piece in zip(given, pieces, strict=True)
            ])  # fmt: skip
        if kind == "multiply":
            return self.sum(list(self._laplacian_of_product(parents, ls, ts)))
        return self.sum([self._second(made, d) for d in key])

    def _second(self, t, d):
        T = self.tangent(t, d)
        return None if T is None else self.tangent(T, d)

    def _laplacian_of_product(self, parents, ls, ts):
        for u, L in enumerate(ls):
            if L is not None:
                yield self.op("multiply", [*parents[:u], L, *parents[u + 1 :]])
        for u in range(len(parents)):
            for v in range(u):
                for A, B in zip(ts[v], ts[u], strict=True):
                    if A is not None and B is not None:
                        rest = [t for w, t in enumerate(parents) if w not in (u, v)]
                        yield self.scaled(self.op("multiply", [A, B, *rest]), 2.0)

    def pushed(self, Z, Y, TZ, settings):
        return rules.first(self, Z, Y, TZ, settings)


def _hashable(settings):
    return tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in sorted(settings.items()))
