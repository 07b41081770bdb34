"""Sums over items and pairs of items, of all and without each group in turn, and the jackknife that follows from them.

A statistic of such sums is written once. The first entry of its array is the value, and the values without each group
follow: shape (1 + G,). All of them take as long as a few sums over the matrix of pairs, O(n²), since what a group adds
to a sum is subtracted.

Measures of pairs have no bootstrap here: a drawn duplicate is its own nearest neighbour in both of two sets of
embeddings, so that independent data look alike.
"""

from collections.abc import Container, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import Floats, as_codes
from hf_clipdyn.metrics.bootstrap import Resampling, influence_interval
from hf_clipdyn.metrics.influence import left_out_influence

_CANCELLED = 1e-13  # relative rounding error of a sum over pairs of items
_ROUNDING = 1e-12  # rows that deviate less from their mean, relative to their length, are equal


class KernelSums(NamedTuple):
    """Sums over two kernel matrices K and L of the same n items; each is an array (1 + G,).

    Attributes:
        n: items.
        products: tr(KL).
        first, second: of the entries of K, and of L.
        chains: of the entries of KL.
    """

    n: Floats
    products: Floats
    first: Floats
    second: Floats
    chains: Floats

    @property
    def biased(self) -> Floats:
        """|X'Y|² of centred data, for K = XX' and L = YY'."""
        return self.products - 2 * self.chains / self.n + self.first * self.second / self.n**2

    @property
    def unbiased(self) -> Floats:
        """HSIC1 of Song et al. 2012, for matrices with a zero diagonal; NaN for fewer than four items.

        Exactly 0 where its three terms cancel: if all entries of a matrix are alike.
        """
        n = np.where(self.n < 4, np.nan, self.n)
        sums, chains = self.first * self.second / ((n - 1) * (n - 2)), 2 * self.chains / (n - 2)
        total, size = self.products + sums - chains, np.abs(self.products) + np.abs(sums) + np.abs(chains)
        return np.where(np.abs(total) <= _CANCELLED * size, 0 * n, total / (n * (n - 3)))


class LinearSide(NamedTuple):
    """Rows of items, and sums over them; those over all items and without each group are (1 + G, ...).

    Attributes:
        rows: (n, d).
        groups: sums of the rows of each group, (G, d); the rows themselves if each is a group.
        whole: sum of all rows, (d,).
        along: inner products of the sums of the groups with that of all rows, (G,).
        squares: squared lengths of the rows, (n,).
        lengths: squared lengths of the sums, the sums of all inner products, (1 + G,).
        diagonal: sums of the squared lengths, (1 + G,).
    """

    rows: Floats
    groups: Floats
    whole: Floats
    along: Floats
    squares: Floats
    lengths: Floats
    diagonal: Floats


class LeftOut:
    """Sums over all n items, and over the items outside each of G groups.

    Args:
        groups: of each item, any sortable values; None for items on their own.
        n: number of items.
        resampling: a false one leaves no group out: G = 0.
    """

    def __init__(self, groups: ArrayLike | None, n: int, resampling: Resampling) -> None:
        self.codes, n_groups = as_codes("groups", groups, n)
        self.n_groups = n_groups if resampling else 0
        self._resampling = resampling
        self._order = np.argsort(self.codes, kind="stable")
        self._starts = np.searchsorted(self.codes[self._order], np.arange(n_groups))
        self._alone = self.n_groups == n and bool((self.codes == np.arange(n)).all())
        self.n = self.total(np.ones(n))

    def within(self, values: Floats) -> Floats:
        """Sums over the items of each group, (n, ...) -> (G, ...)."""
        if not self.n_groups:
            return np.empty((0, *values.shape[1:]))
        if self._alone:
            return values
        return np.asarray(np.add.reduceat(values[self._order], self._starts, axis=0))

    def total(self, values: Floats) -> Floats:
        """Sums over items, (n, ...) -> (1 + G, ...)."""
        whole = values.sum(axis=0)
        return np.concatenate([whole[None], whole - self.within(values)])

    def pairs(self, values: Floats) -> Floats:
        """Sums over ordered pairs of items, (n, n) -> (1 + G,)."""
        rows, columns = values.sum(axis=1), values.sum(axis=0)
        total = rows.sum()
        left = self.within(rows) + self.within(columns) - self._own(self.within(values))
        return np.concatenate([[total], total - left])

    def columns(self, first: Floats, second: Floats, added: tuple[Floats, Floats] | None = None) -> Floats:
        """Sums over items of the products of their columns' sums in two matrices, (n, n) each -> (1 + G,).

        Of K and L' this is the sum of the entries of KL.

        Args:
            first, second: the matrices.
            added: (G, n) each: what the sums of the columns gain without each group.
        """
        a, b = first.sum(axis=0), second.sum(axis=0)
        less_a, less_b = self.within(first), self.within(second)
        if added is not None:
            less_a, less_b = less_a - added[0], less_b - added[1]
        both = a @ b
        # Products of single columns are never stored: the matrices are large.
        left = both - less_a @ b - less_b @ a + np.einsum("gj,gj->g", less_a, less_b)
        if self.n_groups:
            at = self.codes, np.arange(len(self.codes))
            left -= np.bincount(self.codes, (a - less_a[at]) * (b - less_b[at]), self.n_groups)
        return np.concatenate([[both], left])

    def kernel_sums(self, first: Floats, second: Floats) -> KernelSums:
        """Of two symmetric matrices."""
        return KernelSums(
            n=self.n,
            products=self.pairs(first * second),
            first=self.pairs(first),
            second=self.pairs(second),
            chains=self.columns(first, second),
        )

    def linear_side(self, rows: Floats) -> "LinearSide":
        """What `linear_sums` needs of the rows of the items, (n, d)."""
        groups, whole, squares = self.within(rows), rows.sum(axis=0), np.einsum("ij,ij->i", rows, rows)
        along, size = groups @ whole, whole @ whole
        of_groups = squares if self._alone else np.einsum("gi,gi->g", groups, groups)
        lengths = np.append(size, size - 2 * along + of_groups)
        return LinearSide(rows, groups, whole, along, squares, lengths, self.total(squares))

    def linear_sums(self, x: "LinearSide", y: "LinearSide") -> tuple[KernelSums, KernelSums]:
        """`kernel_sums` of XX' and YY', and of both with a diagonal of 0, from the rows: O(n d d'), not O(n²)."""
        product = x.rows.T @ y.rows
        turned = x.groups @ product
        own = np.einsum("gi,gi->g", turned, y.groups)
        own_items = own if self._alone else self.within(np.einsum("ij,ij->i", x.rows @ product, y.rows))
        left = 2 * own_items - self._within_squares(x, y)
        products = np.square(product).sum() - _after_none(left)
        # Inner products of all items with the sums of the rows outside a group, less those of its own items.
        whole = x.whole @ product
        left = x.groups @ (product @ y.whole) + y.groups @ whole - own + self._within_chains(x, y)
        chains = whole @ y.whole - _after_none(left)
        both = self.total(x.squares * y.squares)
        lengths = self._weighted(x.squares, y) + self._weighted(y.squares, x)
        first, second = x.lengths - x.diagonal, y.lengths - y.diagonal
        return (
            KernelSums(self.n, products, x.lengths, y.lengths, chains),
            KernelSums(self.n, products - both, first, second, chains - lengths + both),
        )

    def _within_chains(self, x: "LinearSide", y: "LinearSide") -> Floats:
        """Of each group, the sum over its items of their inner products with the sums of all others, (G,)."""
        if not self.n_groups:
            return np.empty(0)
        if self._alone:
            return np.asarray((x.along - x.squares) * (y.along - y.squares))
        sides = (np.einsum("ij,ij->i", one.rows, one.whole - one.groups[self.codes]) for one in (x, y))
        return self.within(np.multiply(*sides))

    def _weighted(self, weights: Floats, side: "LinearSide") -> Floats:
        """Inner products of the weighted sum of the rows with their sum, (1 + G,)."""
        sums = weights @ side.rows
        if self._alone:
            left = weights * side.along + side.groups @ sums - weights * side.squares
        else:
            of_groups = self.within(weights[:, None] * side.rows)
            left = of_groups @ side.whole + side.groups @ sums - np.einsum("gi,gi->g", of_groups, side.groups)
        return np.asarray(sums @ side.whole - _after_none(left))

    def _within_squares(self, x: "LinearSide", y: "LinearSide") -> Floats:
        """Of each group, the sum over its pairs of the products of both inner products, (G,)."""
        if self._alone or not self.n_groups:
            return self.within(x.squares * y.squares)
        members = np.split(self._order, self._starts[1:])
        return np.array([np.square(x.rows[rows].T @ y.rows[rows]).sum() for rows in members])

    def first_order(self, value: float, derivative: Floats) -> Floats:
        """A smooth function of weighted items, and its values without each group in the first order.

        Args:
            value: with equal weights.
            derivative: by the weight of each item, (n,); sums to zero.
        """
        left = value - self.within(derivative) / (1 - 1 / max(self.n_groups, 2))
        return np.concatenate([[value], left])

    def results(
        self,
        estimates: Mapping[str, Floats],
        causes: Mapping[str, str],
        correlations: Container[str] = (),
        *,
        intervals: bool = True,
    ) -> dict[str, Any]:
        """Values, and unless nothing is left out, their intervals by the jackknife and the influences of the groups.

        Args:
            estimates: by name, (1 + G,).
            causes: why a value is NaN, by name; those of other values are ignored.
            correlations: names of those whose interval is symmetric after arctanh, within [-1, 1].
            intervals: whether they are wanted.
        """
        result: dict[str, Any] = {name: float(values[0]) for name, values in estimates.items()}
        undefined = {name: causes[name] for name, value in result.items() if np.isnan(value)}
        result |= {"n": len(self.codes), "causes": undefined}
        if not self.n_groups:
            return result
        clusters = [np.arange(self.n_groups)]
        influences = {name: left_out_influence(values[1:]) for name, values in estimates.items()}
        for name, influence in influences.items() if intervals else ():
            result[f"{name}_ci"] = influence_interval(
                result[name],
                influence,
                clusters,
                "fisher" if name in correlations else "linear",
                self._resampling.confidence_level,
            )
        return result | {"influences": influences}

    def _own(self, sums: Floats) -> Floats:
        """Of the row of each group in (G, n), the sum over its own columns, (G,)."""
        if not self.n_groups:
            return np.empty(0)
        own = sums[self.codes, np.arange(len(self.codes))]
        return np.asarray(np.bincount(self.codes, own, self.n_groups), np.float64)


def _after_none(left: Floats) -> Floats:
    """What is missing without nothing, and without each group, (G,) -> (1 + G,)."""
    return np.append(0.0, left)


def as_rows(name: str, values: ArrayLike) -> Floats:
    """A float64 array of shape (n, d), n and d >= 1, all finite."""
    try:
        rows = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise MetricError(f"{name} must be numbers, a row of the same length for each item.") from None
    if rows.ndim != 2 or not rows.size:
        raise MetricError(f"{name} must be a table, a row for each item, but have the shape {rows.shape}.")
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        raise MetricError(
            f"{name} must be finite, but {int(bad.sum())} of {len(rows)} rows are not (first: row {bad.argmax()})."
        )
    return rows


def unit_rows(name: str, rows: Floats) -> Floats:
    """Rows of length 1."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    if not largest.all():
        raise MetricError(
            f"Row {int(largest.argmin())} of {name} has length 0: leave it out, since it has no direction."
        )
    rows = rows / largest
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def centred(rows: Floats) -> Floats | None:
    """Rows around their mean, in units of the largest entry; None if all rows are equal up to rounding."""
    scaled = rows / (np.abs(rows).max() or 1.0)
    deviations = scaled - scaled.mean(axis=0)
    if np.linalg.norm(deviations) <= _ROUNDING * np.linalg.norm(scaled):
        return None
    return np.asarray(deviations)
