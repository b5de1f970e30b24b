"""Products of small matrices inside compiled kernels, with a tile of the result held in registers.

A library's product takes longer to start than matrices of width 16 take to multiply, and multiplies the zeros of
triangular matrices too. The caller says which entries of the left factor are zero. The result and the right factor must
be padded to a multiple of `LANES` columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from onset.simulate.compiling import njit
from onset.validate.models.compiled.layout import LANES

__all__ = ["LOWER", "UPPER", "multiply"]

ROWS = 4
"""Rows of a tile: independent sums that hide the latency of a fused multiply-add."""

FULL, LOWER, UPPER = 0, 1, 2
"""Nonzero entries of the left factor: all; a[i, n] with n ≤ diagonal + i; a[i, n] with n ≥ i - diagonal."""


@njit(cache=True, nogil=True)
def multiply(out, a, b, form=FULL, diagonal=0):
    """Add a @ b to `out`; beyond the diagonal of a triangular `a`, entries must be zero where a tile reaches across."""
    rows, depth = a.shape
    tiled = rows - rows % ROWS
    for j in range(0, b.shape[1], LANES):
        for i in range(0, tiled, ROWS):
            first, last = _terms(i, ROWS, depth, form, diagonal)
            _add_rows(out, a, b, i, j, first, last)
        for i in range(tiled, rows):
            first, last = _terms(i, 1, depth, form, diagonal)
            _add_row(out, a, b, i, j, first, last)


@njit(cache=True, nogil=True)
def _terms(i, rows, depth, form, diagonal):
    """Range of the sum over n for rows i, …, i + rows - 1."""
    return max(0, i - diagonal) if form == UPPER else 0, min(depth, diagonal + i + rows) if form == LOWER else depth


def _tile_product(rows: int) -> Callable[..., Any]:
    """Kernel of out[i:i+rows, j:j+LANES] += a[i:i+rows, first:last] @ b[first:last, j:j+LANES], single precision."""
    number, index = ir.FloatType(), ir.IntType(64)
    vector = ir.VectorType(number, LANES)
    all_lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)

    @intrinsic
    def tile(_: Any, out: Any, a: Any, b: Any, i: Any, j: Any, first: Any, last: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            i, j, first, last = args[3:]

            def address(argument: int, row: Any, column: Any) -> tuple[Any, Any]:
                array = context.make_array(signature.args[argument])(context, builder, args[argument])
                strides = cgutils.unpack_tuple(builder, array.strides)
                offset = builder.add(builder.mul(row, strides[0]), builder.mul(column, strides[1]))
                return builder.add(builder.ptrtoint(array.data, index), offset), strides

            def load(pointer: Any, kind: Any) -> Any:
                return builder.load(builder.inttoptr(pointer, kind.as_pointer()), align=4)

            def row_addresses(start: Any, stride: Any) -> list[Any]:
                return [start, *(start := builder.add(start, stride) for _ in range(rows - 1))]

            def loop_variable(kind: Any, value: Any) -> Any:
                phi = builder.phi(kind)
                phi.add_incoming(value, before)
                return phi

            out_start, (out_row, _) = address(0, i, j)
            a_start, (a_row, a_step) = address(1, i, first)
            b_start, (b_step, _) = address(2, first, j)
            out_rows = row_addresses(out_start, out_row)
            initial = [load(pointer, vector) for pointer in out_rows]
            before, loop, after = builder.block, *map(builder.append_basic_block, ("terms", "summed"))
            builder.cbranch(builder.icmp_signed("<", first, last), loop, after)

            builder.position_at_end(loop)
            term, in_a, in_b = (loop_variable(index, value) for value in (first, a_start, b_start))
            sums = [loop_variable(vector, value) for value in initial]
            row_of_b = load(in_b, vector)
            empty, fuse = ir.Constant(vector, ir.Undefined), {"flags": ("contract",)}
            updated = []
            for pointer, total in zip(row_addresses(in_a, a_row), sums, strict=True):
                entry = builder.insert_element(empty, load(pointer, number), ir.Constant(ir.IntType(32), 0))
                factor = builder.shuffle_vector(entry, empty, all_lanes)
                updated.append(builder.fadd(builder.fmul(factor, row_of_b, **fuse), total, **fuse))
            next_term = builder.add(term, ir.Constant(index, 1))
            term.add_incoming(next_term, loop)
            in_a.add_incoming(builder.add(in_a, a_step), loop)
            in_b.add_incoming(builder.add(in_b, b_step), loop)
            for total, new in zip(sums, updated, strict=True):
                total.add_incoming(new, loop)
            builder.cbranch(builder.icmp_signed("<", next_term, last), loop, after)

            builder.position_at_end(after)
            results = [loop_variable(vector, value) for value in initial]
            for result, new, pointer in zip(results, updated, out_rows, strict=True):
                result.add_incoming(new, loop)
                builder.store(result, builder.inttoptr(pointer, vector.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(out, a, b, *(types.int64,) * 4), emit

    return tile


_add_rows, _add_row = _tile_product(ROWS), _tile_product(1)
