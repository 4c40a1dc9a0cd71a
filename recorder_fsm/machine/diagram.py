"""The state diagram and the tables of states and transitions, drawn from `lifecycle` for people."""

from __future__ import annotations

import math
from collections import defaultdict

from recorder_fsm.machine.lifecycle import FINAL, STATES, TRANSITIONS, State, Transition


def mermaid() -> str:
    """Return the diagram as Mermaid text; transitions between the same two states share one arrow.

    `transitions` draws Mermaid too, but puts all events of an arrow on one line of up to 300 characters, which no
    viewer breaks, and knows nothing of restarts.
    """
    arrows: dict[tuple[State, State], list[str]] = defaultdict(list)
    for transition in TRANSITIONS:
        arrows[transition.source, transition.target].append(_label(transition))
    lines = ["stateDiagram-v2", f"    [*] --> {State.INIT.value}"]
    for (source, target), labels in arrows.items():
        lines.append(f"    {source.value} --> {target.value}: {'<br/>'.join(dict.fromkeys(labels))}")
    lines += [f"    {state.value} --> [*]" for state in State if state in FINAL]
    return "\n".join(lines) + "\n"


def states_table() -> str:
    """Return what each state holds and how long its step may take, as Markdown."""
    lines = ["| State | Holds | Limit of its step | Part of |", "|---|---|---|---|"]
    for state, policy in STATES.items():
        holds = ", ".join(resource.value for resource in policy.holds) or "nothing"
        limit = "" if math.isinf(policy.limit_s) else f"{policy.limit_s:g} s"
        lines.append(f"| {state.value} | {holds} | {limit} | {policy.budget.value if policy.budget else ''} |")
    return "\n".join(lines) + "\n"


def transitions_table() -> str:
    """Return the transitions as Markdown, in the table's own order."""
    lines = ["| In | Event | When | Leads to | Restarts | Tells | Captured |", "|---|---|---|---|---|---|---|"]
    for transition in TRANSITIONS:
        when = transition.when.value if transition.when else ""
        restarts = ", ".join(resource.value for resource in transition.restarts)
        kept = "kept" if transition.keeps else "discarded"
        cells = (transition.source.value, f"`{transition.event.value}`", when, transition.target.value, restarts)
        lines.append(f"| {' | '.join(cells)} | {transition.tells.value} | {kept} |")
    return "\n".join(lines) + "\n"


def _label(transition: Transition) -> str:
    restarts = " and ".join(resource.value for resource in transition.restarts)
    return transition.event.value + (f" (restarts {restarts})" if restarts else "")
