"""Tables of ``onset heads``."""

from __future__ import annotations

from typing import Any

from onset.command_line.tables import print_json, table

__all__ = ["list_scores", "show_formations", "show_study"]

SHOWN = 24
"""Most heads that a table shows."""


def list_scores(as_json: bool) -> None:
    """The scores with their definitions."""
    from onset.validate.heads.scoring import SCORES, USUAL

    names = ("definition", "normalisation", "source", "shown", "unit", "level")
    if as_json:
        return print_json(
            {
                name: {key: getattr(score, key) for key in names} | {"usual": name in USUAL}
                for name, score in SCORES.items()
            }
        )
    rows = [
        (
            name,
            f"{score.definition}; {score.normalisation}",
            score.shown,
            f"{score.level:g} {'' if score.unit == 'share' else score.unit}".strip(),
            score.source,
        )
        for name, score in SCORES.items()
    ]
    return table("scores of heads", ("score", "definition", "on", "level", "source"), rows)


def show_study(data: dict[str, Any]) -> None:
    """Everything but pictures."""
    for score in data["scores"]:
        _show_score(score)
    if data["missing"]:
        print(f"not measured: {data['missing']}\n")
    if "ablation" in data:
        _show_ablation(data["ablation"])
    if "text" in data:
        _show_text(data["text"])
    for entry in data.get("importance", ()):
        _show_importance(entry)
    for pair in data.get("overlap", ()):
        mean, deviation = pair["chance"]
        print(
            f"{' and '.join(pair['tasks'])}: of the most important {pair['share']:.0%} of the heads they share "
            f"{pair['common']:.0%} (by chance {mean:.0%} ± {deviation:.0%}); Spearman {pair['spearman']:.2f}, "
            f"as released {pair['released']:.2f}"
        )
    for entry in data.get("pruning", ()):
        _show_pruning(entry)
    print("  ".join(data.get("files", ())))


def _show_score(score: dict[str, Any]) -> None:
    above = sorted((head for head in score["heads"] if head["exceeds"]), key=lambda head: -head["mean"])
    title = f"{score['name']}: {len(above)} of {len(score['heads'])} heads exceed chance"
    rows = [
        (_name(head), f"{head['mean']:.3f}", f"[{head['low']:.3f}, {head['high']:.3f}]", f"{head['control']:.3f}")
        for head in above[:SHOWN]
    ]
    if len(above) > SHOWN:
        rows.append((f"{len(above) - SHOWN} more", "", "", ""))
    if rows:
        unit = "" if score["unit"] == "share" else f", {score['unit']}"
        table(title, ("head", f"score{unit}", f"95% over {score['over']}", "control"), rows)
    else:
        print(title)
    print(f"  {score['definition']}\n  {score['normalisation']}; on {score['shown']}\n")


def _show_ablation(ablation: dict[str, Any]) -> None:
    if ablation["problem"]:
        return print(f"Nothing is ablated on repeated tokens: {ablation['problem']}\n")
    rows = []
    for loss in ablation["losses"]:
        values = [loss[copy] for copy in ("first copy", "second copy")]
        cells = (f"{value['loss']:.2f} [{value['low']:.2f}, {value['high']:.2f}]" for value in values)
        rows.append((loss["ablated"], " ".join(loss["heads"]), *cells))
    if rows:
        title = "loss on two copies of random tokens with heads ablated, nats per token"
        table(title, ("ablated", "heads", "first copy", "second copy"), rows)
    else:
        print("No head exceeds chance in prefix matching; none are ablated together.")
    each = sorted(ablation["each"], key=lambda head: -abs(head["value"]))[:8]
    rows = [(_name(head), _interval(head, "+.3f")) for head in each]
    table("heads whose ablation alone changes the second copy's loss most, nats", ("head", "change"), rows)
    print(f"  on {ablation['shown']}\n")
    if any("problem" in path for path in ablation["paths"]):
        return print(f"No paths: {ablation['paths'][0]['problem']}\n")
    if ablation["paths"]:
        rows = [
            (
                path["from"],
                path["to"],
                f"{path['composition']:.3f} (by chance {path['chance']:.3f})" if "composition" in path else "unknown",
                _interval(path["rise"], "+.3f"),
            )
            for path in ablation["paths"]
        ]
        head = ("from", "to", "K-composition", "rise of the loss if cut")
        table("paths from previous-token heads into the patterns of induction heads", head, rows)
        print()
    return None


def _show_text(text: dict[str, Any]) -> None:
    early, late = text["positions"]
    rows = [
        (
            row["ablated"],
            " ".join(row["heads"]),
            _interval(row["loss"], ".3f"),
            _interval(row["in_context_score"], "+.3f"),
        )
        for row in text["rows"]
    ]
    score = f"loss at {late} less that at {early}"
    table(f"loss on {text['source']}, nats per token", ("ablated", "heads", "mean loss", score), rows)
    print(f"  on {text['shown']}\n")


def _show_importance(entry: dict[str, Any]) -> None:
    most = sorted(entry["heads"], key=lambda head: -head["value"])[:8]
    rows = [
        (_name(head), f"{head['value']:.4f}", f"[{head['low']:.4f}, {head['high']:.4f}]", f"{head['released']:.2e}")
        for head in most
    ]
    title = f"importance for {entry['task']}, {entry['unit']}: the first {len(rows)} of {len(entry['heads'])}"
    table(title, ("head", "importance", "95% over examples", "as released"), rows)
    print(f"  {entry['description']}")
    if entry["feed_forward"]:
        blocks = sorted(entry["feed_forward"], key=lambda block: -block["value"])[:4]
        shown = ", ".join(f"layer {block['layer']} {_interval(block, '+.3f')}" for block in blocks)
        print(f"  accuracy lost without a feed-forward block, the largest: {shown}")
    print()


def _show_pruning(entry: dict[str, Any]) -> None:
    names = list(dict.fromkeys(row["order"] for row in entry["rows"]))
    cells = {(row["order"], row["percent"]): row for row in entry["rows"]}
    rows = [
        (f"{percent}%", *(f"{cells[name, percent]['accuracy']['value']:.3f}" for name in names))
        for percent in entry["percent"]
    ]
    table(f"accuracy on {entry['task']} with heads removed in an order", ("removed", *names), rows)
    print(f"  guessing: {entry['guessing']:.3f}")
    for name, left in entry["capacity"].items():
        shares = ", ".join(f"{percent}%: {value:.2f}" for percent, value in zip(entry["percent"], left, strict=True))
        print(f"  {name} left, by percent removed in the order of importance: {shares}")
    print()


def show_formations(data: dict[str, Any]) -> None:
    """Steps at which heads form, and the last scores of each run."""
    rows = [
        (
            run["label"],
            str(run["seed"]),
            f"{formed['kind']}, layer {formed['layer']}",
            "never" if formed["step"] is None else f"{formed['step']:.0f}",
            f"{formed['last']:.3f}",
        )
        for run in data["runs"]
        for formed in run["formations"]
    ]
    table("heads formed in training", ("setting", "seed", "head", "step", "last score"), rows)
    if data.get("files"):
        print("  ".join(data["files"]))


def _name(head: dict[str, Any]) -> str:
    return f"L{head['layer']}H{head['head']}"


def _interval(value: dict[str, Any], form: str) -> str:
    return f"{value['value']:{form}} [{value['low']:{form}}, {value['high']:{form}}]"
