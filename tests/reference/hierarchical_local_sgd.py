#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the exact iterates of hierarchical_local_sgd with any periods, in the form of an entry of
quadratic_n8.json, whose problem it takes: hierarchical_local_sgd.py H1 H2 > FILE."""
import decimal
import json
import pathlib
import sys
from fractions import Fraction

GROUPS = [[0, 1, 2, 3], [4, 5, 6, 7]]
SNAPSHOTS = [1, 2, 5, 10, 100]


def gradient(a, b, x):
    away = [p - q for p, q in zip(x, b)]
    return [sum(p * q for p, q in zip(row, away)) for row in a]


def averaged(models, ranks):
    mean = [sum(column) / len(ranks) for column in zip(*(models[i] for i in ranks))]
    return {i: mean for i in ranks}


def root(value):
    with decimal.localcontext(prec=60):
        quotient = decimal.Decimal(value.numerator) / decimal.Decimal(value.denominator)
        return float(quotient.sqrt())


def squared_distance(x, y):
    return sum((p - q) ** 2 for p, q in zip(x, y))


def snapshot(models, matrices, targets, optimum):
    """What quadratic_n8.json stores of a state."""
    n = len(models)
    mean = averaged(models, range(n))[0]

    def loss(x):
        slopes = [gradient(a, b, x) for a, b in zip(matrices, targets)]
        away = [[p - q for p, q in zip(x, b)] for b in targets]
        return sum(p * q for g, d in zip(slopes, away) for p, q in zip(g, d)) / (2 * n)

    return {
        "x": [[float(v) for v in models[i]] for i in range(n)],
        "dist_to_opt": root(squared_distance(mean, optimum)),
        "f_gap": float(loss(mean) - loss(optimum)),
        "consensus_rms": root(sum(squared_distance(x, mean) for x in models.values()) / n),
    }


def iterates(problem, eta, inner, outer):
    matrices = [[[Fraction(v) for v in row] for row in a] for a in problem["A"]]
    targets = [[Fraction(v) for v in b] for b in problem["b"]]
    optimum = [Fraction(v) for v in problem["x_star_fractions"]]
    models = {i: [Fraction(v) for v in problem["x0_common"]] for i in range(problem["n"])}
    result = {}
    for k in range(1, SNAPSHOTS[-1] + 1):
        for i, x in models.items():
            g = gradient(matrices[i], targets[i], x)
            models[i] = [p - eta * q for p, q in zip(x, g)]
        if k % outer == 0:
            models = averaged(models, range(problem["n"]))
        elif k % inner == 0:
            models = averaged(models, GROUPS[0]) | averaged(models, GROUPS[1])
        if k in SNAPSHOTS:
            result[str(k)] = snapshot(models, matrices, targets, optimum)
    return result


def main():
    inner, outer = (int(text) for text in sys.argv[1:])
    here = pathlib.Path(__file__).parent
    problem = json.loads((here / "quadratic_n8.json").read_text())["problem"]
    parameters = {"eta": "1/16", "H1": inner, "H2": outer, "groups": GROUPS}
    entry = {"parameters": parameters, "iterates": iterates(problem, Fraction(1, 16), inner, outer)}
    json.dump(entry, sys.stdout)
    print()


if __name__ == "__main__":
    main()
