"""Interleaved rounds (A B C A B C …), so that changes on the machine affect all contestants equally."""

import statistics
import sys


def interleave(rounds, contestants, run):
    """Runs every contestant once per round; returns {contestant: [result, …]}."""
    results = {contestant: [] for contestant in contestants}
    for number in range(1, rounds + 1):
        for contestant in contestants:
            results[contestant].append(run(contestant))
            note(f"round {number}/{rounds}  {contestant}: {results[contestant][-1]}")
    return results


def note(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def median(values):
    return statistics.median(values)


def spread(values, form):
    """The median, with the minimum and maximum in brackets."""
    low, high = min(values), max(values)
    middle = form(median(values))
    return middle if len(values) == 1 else f"{middle} ({form(low)} to {form(high)})"
