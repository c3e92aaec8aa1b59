"""Every word of the report, one dict a language; the keys are the same in each."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import UsageError

Say = Callable[..., str]
"""`say(key, **values)`: the phrase of that key with the values filled in."""

EN = {
    "language": "en",
    "report": "torchport report",
    "task": "Task: {task}",
    "original": "eager PyTorch",
    "reference": "reference",
    "unknown": "not measured",
    # The verdict
    "warning": "Warning: {text}.",
    "wins": "{id} is chosen",
    "faster": "{times} times as fast as eager PyTorch",
    "slower": "{times} times as slow as eager PyTorch",
    "alike": "as fast as eager PyTorch, within the timing noise of one file",
    "own_reference": "compared with the model after {recipe}",
    "from_trained": "{distance} to the model as trained",
    "accuracy_of": "{metric} {value} on {items} items",
    "parity_held": "answers like the original",
    "parity_made_up": "answers like the original on made-up inputs only",
    "nothing": "Nothing met the budget",
    "budget": "Budget: {budget}",
    "met_yes": "kept",
    "met_no": "not kept",
    "met_not shown": "not shown",
    "nearest": "Nearest misses",
    "profiles": "Best for each place it may run",
    "profile": "Runs on",
    "variant": "Variant",
    "tile_latency": "Latency, median",
    "tile_size": "Size",
    "tile_memory": "Memory",
    "tile_p90": "p90 {p90}, eager {eager}",
    "tile_download": "download {download}, eager {eager}",
    "tile_interval": "eager {eager}; {items} items",
    "tile_items": "{items} items",
    "tile_peak": "peak, above an empty process",
    # What the numbers rest on
    "rests": "What these numbers rest on",
    "rests_accuracy": "Accuracy rests on {items} items. The 95 % interval of the paired difference between {id} and "
    "eager PyTorch is {low} to {high}: a loss of up to {loss} is not excluded.",
    "rests_agreement": "The items carry no labels: accuracy here is agreement with the fp32 model, on {items} items.",
    "rests_no_accuracy": "No accuracy was measured.",
    "rests_latency": "Latency is the median of {calls} calls of batch 1 in {rounds} interleaved rounds, in child "
    "processes, on {cpu}; {noise} of noise between rounds. Another machine may rank the variants "
    "differently.",
    "rests_no_latency": "No latency was measured.",
    "rests_made_up": "Parity was checked on made-up inputs only: it says nothing about real ones.",
    "rests_assumed": "Verified against torchport's reading of the model; assumed, because nobody stated it: {names}.",
    "rests_stated": "Every fact of the task was stated by the user or carried by the model.",
    "rests_old_reference": "The eager latency was measured when the Bundle was made, not now.",
    # The candidates
    "candidates": "Candidates",
    "candidates_about": "One row a target and recipe, measured on this machine. Sizes in decimal units; below the "
    "accuracy: the 95 % interval of the difference to eager PyTorch, item by item.",
    "status": "Status",
    "size": "Size",
    "latency": "Latency",
    "threads": "Threads",
    "speed": "{times}\N{MULTIPLICATION SIGN} eager's speed",
    "memory": "Memory",
    "accuracy": "Accuracy",
    "agreement": "{share} as eager",
    "parity": "Parity",
    "why": "Why",
    "p90": "p90 {value}",
    "threads_of": "threads: {threads}",
    "downloads": "download {size}",
    "items_of": "{items} items",
    "tested": "test split: {value} of {items} items {interval}",
    "tested_eager": "test split: {value}",
    "sort": "sort by {column}",
    # The charts
    "scatter": "Size, latency and accuracy",
    "scatter_about": "Lower left is better. Filled: on the Pareto front of accuracy, latency, size and memory; "
    "hollow: another variant is at least as good on all of them. Ringed: chosen.",
    "axis_latency": "median latency, ms (logarithmic)",
    "axis_size": "size, {unit}",
    "front": "best size at that latency",
    "loss_none": "accuracy of eager or better",
    "loss_small": "at most 1 point below",
    "loss_large": "more than 1 point below",
    "loss_unknown": "accuracy not measured",
    "bars": "Latency",
    "bars_about": "Bar: median of batch 1. Line: the middle 80 % of all calls. Dots: the median of each round.",
    "axis_ms": "ms",
    "by_threads": "Threads that were tried",
    # Parity
    "parity_title": "Parity, output by output",
    "parity_about": "Greatest difference over all items, as a share of the greatest value of the reference; integers "
    "and booleans: share of elements that differ.",
    "stage": "Stage",
    "output": "Output",
    "max_rel": "Greatest difference",
    "snr": "Signal to noise",
    "tolerance": "Allowed",
    "items": "Items",
    "verdict": "Verdict",
    "equal": "equal to the bit",
    "holds": "holds",
    "fails": "fails",
    "check": "Check",
    # Items
    "pictures": "Item by item",
    "pictures_about": "What eager PyTorch answers, and which variants answer something else. Items with a difference "
    "come first, then those that eager PyTorch itself answers wrongly.",
    "label": "labelled {label}",
    "unlabelled": "no label",
    "same_all": "every variant answers the same",
    "differ": "{count} of {all} variants answer differently",
    "answers": "answers of every variant",
    "more_items": "{count} more items are not shown; {differ} of them differ.",
    "right": "right",
    "wrong": "wrong",
    # Facts
    "facts": "Facts of the task",
    "facts_assumed": "Assumed, because neither the user nor the model stated it: {names}. If one is wrong, accuracy "
    "falls on every target alike; state it with --set.",
    # Environment
    "environment": "Environment",
    "machine": "Machine",
    "versions": "Versions",
    "source": "Source",
    "used": "What really ran",
    "used_about": "Read back from each runtime after it opened the file.",
    "library": "Library",
    "provider": "Provider",
    "precision": "Precision",
    "instructions": "Instructions",
    "again": "Make it again",
    # Skipped
    "skipped": "What was skipped, and why",
    "nothing_skipped": "Nothing was skipped.",
}

LANGUAGES = {"en": EN}


def speaker(language: str) -> Say:
    """The phrases of a language.

    Raises:
        UsageError: no such language.
    """
    if language not in LANGUAGES:
        raise UsageError(f"the report does not speak '{language}'", f"it speaks {', '.join(LANGUAGES)}")
    phrases = LANGUAGES[language]

    def say(key: str, /, **values: object) -> str:
        return phrases[key].format(**values)

    return say
