"""Products of small matrices inside compiled kernels, a tile of the result in registers.

A library's product takes longer to start than matrices of width 16 take to multiply, and of triangular ones it multiplies the zeros too. Here the
caller says which rows, columns and terms there are; columns come `LANES` at a time, so that arrays that a tile is read from or written to are
filled up to a multiple of it (`filled`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["LANES", "LOWER", "UPPER", "chunk", "chunks_of", "filled", "multiply", "start"]

LANES = 16
"""Columns of a tile: the numbers of single precision in the widest vector register there is."""

ROWS = 4
"""Rows of a tile: as many sums as keep a processor busy while one is added to."""


@njit(cache=True)
def filled(count):
    """`count` rounded up to a multiple of `LANES`."""
    return (count + LANES - 1) // LANES * LANES


@njit(cache=True)
def start(i):
    """Where row i of a causal T × T pattern starts if its rows, j ≤ i, stand one after the other, each filled up."""
    group = i // LANES
    return LANES * (group + 1) * (LANES * group // 2 + i % LANES)


CHUNK = 8
"""Sequences one after the other that a thread takes at once."""


@njit(cache=True)
def chunks_of(batch):
    """Number of chunks of a batch."""
    return (batch + CHUNK - 1) // CHUNK


@njit(cache=True)
def chunk(n, batch):
    """Seed of chunk n, and its first and last sequence."""
    first = n % chunks_of(batch) * CHUNK
    return n // chunks_of(batch), first, min(first + CHUNK, batch)


WHOLE, LOWER, UPPER = 0, 1, 2
"""Which entries of a left factor there are: all; a[i, n] with n ≤ base + i; those with n ≥ i - base."""


@njit(cache=True, nogil=True)
def multiply(out, a, b, form=WHOLE, base=0):
    """Add a @ b to `out`; of a triangular `a`, what lies outside must be zero where a tile reaches over its edge."""
    rows, depth = a.shape
    whole = rows - rows % ROWS
    for j in range(0, b.shape[1], LANES):
        for i in range(0, whole, ROWS):
            first, last = _terms(i, ROWS, depth, form, base)
            _rows(out, a, b, i, j, first, last)
        for i in range(whole, rows):
            first, last = _terms(i, 1, depth, form, base)
            _row(out, a, b, i, j, first, last)


@njit(cache=True, nogil=True)
def _terms(i, rows, depth, form, base):
    """First and last of the terms that sums of rows i, …, i + rows - 1 have."""
    return max(0, i - base) if form == UPPER else 0, min(depth, base + i + rows) if form == LOWER else depth


def _tile(rows: int) -> Callable[..., Any]:
    """out[i : i + rows, j : j + LANES] += a[i : i + rows, first:last] @ b[first:last, j : j + LANES], of single precision."""
    number, index = ir.FloatType(), ir.IntType(64)
    vector = ir.VectorType(number, LANES)
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)

    @intrinsic
    def tile(_: Any, out: Any, a: Any, b: Any, i: Any, j: Any, first: Any, last: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            i, j, first, last = args[3:]

            def address(which: int, row: Any, column: Any) -> tuple[Any, Any]:
                array = context.make_array(signature.args[which])(context, builder, args[which])
                strides = cgutils.unpack_tuple(builder, array.strides)
                away = builder.add(builder.mul(row, strides[0]), builder.mul(column, strides[1]))
                return builder.add(builder.ptrtoint(array.data, index), away), strides

            def load(where: Any, kind: Any) -> Any:
                return builder.load(builder.inttoptr(where, kind.as_pointer()), align=4)

            def below(start: Any, stride: Any) -> list[Any]:
                return [start, *(start := builder.add(start, stride) for _ in range(rows - 1))]

            def carried(kind: Any, value: Any) -> Any:
                phi = builder.phi(kind)
                phi.add_incoming(value, before)
                return phi

            at_out, (out_row, _) = address(0, i, j)
            at_a, (a_row, a_step) = address(1, i, first)
            at_b, (b_step, _) = address(2, first, j)
            places = below(at_out, out_row)
            start = [load(where, vector) for where in places]
            before, loop, after = (
                builder.block,
                builder.append_basic_block("terms"),
                builder.append_basic_block("summed"),
            )
            builder.cbranch(builder.icmp_signed("<", first, last), loop, after)

            builder.position_at_end(loop)
            term, in_a, in_b = (carried(index, value) for value in (first, at_a, at_b))
            sums = [carried(vector, value) for value in start]
            row_of_b = load(in_b, vector)
            empty, fuse = ir.Constant(vector, ir.Undefined), {"flags": ("contract",)}
            added = []
            for where, total in zip(below(in_a, a_row), sums, strict=True):
                one = builder.insert_element(empty, load(where, number), ir.Constant(ir.IntType(32), 0))
                factor = builder.shuffle_vector(one, empty, everywhere)
                added.append(builder.fadd(builder.fmul(factor, row_of_b, **fuse), total, **fuse))
            following = builder.add(term, ir.Constant(index, 1))
            term.add_incoming(following, loop)
            in_a.add_incoming(builder.add(in_a, a_step), loop)
            in_b.add_incoming(builder.add(in_b, b_step), loop)
            for total, new in zip(sums, added, strict=True):
                total.add_incoming(new, loop)
            builder.cbranch(builder.icmp_signed("<", following, last), loop, after)

            builder.position_at_end(after)
            ends = [carried(vector, value) for value in start]
            for end, new, where in zip(ends, added, places, strict=True):
                end.add_incoming(new, loop)
                builder.store(end, builder.inttoptr(where, vector.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(out, a, b, *(types.int64,) * 4), emit

    return tile


_rows, _row = _tile(ROWS), _tile(1)
