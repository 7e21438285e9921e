"""One table of what scripts/bench-peers measured: python benches/peers/table.py FOLDER

Reads mosaec*.json (`mosaec bench --json`), torch*.jsonl and burn*.jsonl in FOLDER; several files of one
program are rounds, of which the fastest counts. Prints the table and writes results.md and
results.json beside them. A ratio above 1 means that mosaec is faster (or, for bytes, smaller).
"""

import glob
import json
import os
import sys

# Work, what it is compared with, the least ratio. `cpu` is PyTorch there, `cuda` PyTorch on the GPU.
TARGETS_SOFTWARE = {
    ("topk_512", "burn"): 8.0,
    ("topk_512", "torch cpu"): 1.0,
    ("topk_768", "torch cpu"): 1.0,
    ("tied_512", "torch cpu"): 0.8,
    ("forward_inkling-4l", "torch cpu"): 0.25,
    ("forward_pythia-70m", "torch cpu"): 0.25,
    ("run", "8 single runs"): 3.0,
}
TARGETS_GPU = {
    ("product_4096", "torch cuda"): 0.5,
    ("topk_768_wide", "torch cuda"): 2.0,
    ("topk_2048", "torch cuda"): 2.0,
    ("topk_768_wide", "sparsify cuda"): 1.0,
    ("topk_2048", "sparsify cuda"): 1.0,
    ("forward_pythia-70m", "torch cuda"): 0.5,
    ("forward_pythia-410m", "torch cuda"): 0.5,
    ("run", "8 single runs"): 3.0,
}
# Peak bytes over bytes counted by hand: at most this.
TARGET_BYTES = {"topk_768_wide": 1.3}
ORDER = ["topk", "tied", "relu", "forward", "product", "ensemble", "run"]


def read(folder, pattern, lines):
    for path in sorted(glob.glob(os.path.join(folder, pattern))):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for part in text.splitlines() if lines else [text]:
            if part.strip():
                yield json.loads(part)


def mosaec(folder):
    """The adapter; the fastest round of each work; ensembles and runs; bytes; what was too large."""
    adapter, best, inside, peaks, skipped = None, {}, {}, {}, []

    def keep(work, ms, speed, unit):
        if work not in best or ms < best[work]["ms"]:
            best[work] = dict(ms=ms, speed=speed, unit=unit)

    for report in read(folder, "mosaec*.json", False):
        adapter = {**report["adapter"], "quick": report["quick"]}
        skipped += [("mosaec", row["work"], row["why"]) for row in report["skipped"]]
        for row in report["train"] + report["forward"]:
            tokens = row["tokens_per_s"] * row["time"]["ms"]
            least = row["time"]["ms_least"]
            keep(row["work"], least, tokens / least, "tokens/s")
        for row in report["train"]:
            peaks[row["work"]] = (row["peak_bytes"], row["hand"])
        for row in report["products"]:
            if row["work"].startswith("product_") or row["shape"] == [1024] * 3:
                least = row["time"]["ms_least"]
                gflops = row["gflop_s"] * row["time"]["ms"] / least
                keep(f"product_{row['shape'][0]}", least, gflops, "GFLOP/s")
        for row in report["pipeline"]["ensembles"]:
            keep(row["work"], row["together"]["ms_least"], None, "ms")
            against = (row["work"], f"{row['members']} single steps")
            inside[against] = (row["members"] * row["single"]["ms_least"], row["together"]["ms_least"])
        for row in report["pipeline"]["runs"]:
            keep(row["work"], 1e3 * row["together_s"], None, "ms")
            against = (row["work"], f"{row['members']} single runs")
            inside[against] = (1e3 * row["members"] * row["single_s"], 1e3 * row["together_s"])
    return adapter, best, inside, peaks, skipped


def peers(folder):
    best, skipped = {}, []
    for row in [*read(folder, "burn*.jsonl", True), *read(folder, "torch*.jsonl", True)]:
        if "skipped" in row:
            skipped.append((row["peer"], row["work"], row["skipped"]))
            continue
        name = row["peer"] if row["peer"] == "burn" else f"{row['peer']} {row['device']}"
        speed = row.get("tokens_per_s") or row.get("gflops")
        key = (row["work"], name)
        if key not in best or speed > best[key]["speed"]:
            version = row.get("torch") or row.get("burn") or ""
            best[key] = dict(
                ms=row["ms_per_step"], speed=speed, version=version, variant=row.get("variant", "")
            )
    return best, list(dict.fromkeys(skipped))


def show(value, unit):
    if value is None:
        return ""
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.2f} {unit}"


def rows(folder):
    adapter, ours, inside, peaks, too_large = mosaec(folder)
    if adapter is None:
        sys.exit(f"error: no mosaec*.json in {folder}. Run scripts/bench-peers")
    theirs, skipped = peers(folder)
    targets = TARGETS_SOFTWARE if adapter["kind"] == "software" else TARGETS_GPU
    # Small shapes: numbers that mean nothing meet no target.
    targets = {} if adapter["quick"] else targets
    out = []

    def add(work, peer, own, other, ratio, target, note=""):
        met = None if target is None else ratio >= target
        out.append(
            dict(work=work, peer=peer, mosaec=own, other=other, ratio=ratio, target=target, met=met, note=note)
        )

    for (work, peer), found in theirs.items():
        own = ours.get(work)
        if own is None:
            add(work, peer, None, show(found["ms"], "ms"), None, None, found["variant"])
            continue
        ratio = own["speed"] / found["speed"]
        target = targets.get((work, peer))
        if work.startswith(("forward", "product")):
            unit = own["unit"]
            mine, other = show(own["speed"], unit), show(found["speed"], unit)
        else:
            mine, other = show(own["ms"], "ms"), show(found["ms"], "ms")
        add(work, peer, mine, other, ratio, target, f"{found['version']}, {found['variant']}")
    for (work, peer), (single, together) in inside.items():
        ratio = single / together
        add(work, peer, show(together, "ms"), show(single, "ms"), ratio, targets.get((work, peer)))
    for work, (peak, hand) in peaks.items():
        most = TARGET_BYTES.get(work) if not adapter["quick"] else None
        for name, key in [("bytes by hand", "bytes"), ("bytes by hand, with pre", "bytes_with_pre")]:
            ratio = peak / hand[key]
            row = dict(work=work, peer=name, mosaec=f"{peak / 2**20:,.0f} MiB")
            row.update(other=f"{hand[key] / 2**20:,.0f} MiB", ratio=ratio, at_most=most, target=None)
            row.update(met=None if most is None else ratio <= most, note="peak / counted")
            out.append(row)
    for (work, peer), target in targets.items():
        if not any((r["work"], r["peer"]) == (work, peer) for r in out):
            out.append(
                dict(work=work, peer=peer, mosaec=None, other=None, ratio=None, target=target, met=None, note="not measured")
            )
    place = lambda r: next((i for i, o in enumerate(ORDER) if r["work"].startswith(o)), len(ORDER))
    out.sort(key=lambda r: (place(r), r["work"]))
    return adapter, out, list(dict.fromkeys(too_large + skipped))


def markdown(adapter, table, skipped):
    head = ["work", "mosaec", "against", "takes", "ratio", "target", "reached", "how"]
    cells = [head]
    for r in table:
        target = "" if r["target"] is None else f">= {r['target']:g}x"
        if r.get("at_most"):
            target = f"<= {r['at_most']:g}x"
        ratio = "" if r["ratio"] is None else f"{r['ratio']:.2f}x"
        met = {None: "", True: "yes", False: "no"}[r["met"]]
        cells.append([r["work"], r["mosaec"] or "", r["peer"], r["other"] or "", ratio, target, met, r["note"]])
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    line = lambda row: "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths)) + " |"
    lines = [
        f"Adapter: {adapter['name']} ({adapter['backend']}, {adapter['kind']}), {adapter['driver']}",
        "",
        line(cells[0]),
        "|" + "|".join("-" * (w + 2) for w in widths) + "|",
        *map(line, cells[1:]),
    ]
    if skipped:
        lines += ["", *(f"Skipped: {peer} {work}: {why}" for peer, work, why in skipped)]
    return "\n".join(lines) + "\n"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = sys.argv[1]
    adapter, table, skipped = rows(folder)
    text = markdown(adapter, table, skipped)
    print(text, end="")
    with open(os.path.join(folder, "results.md"), "w", encoding="utf-8") as file:
        file.write(text)
    with open(os.path.join(folder, "results.json"), "w", encoding="utf-8") as file:
        result = dict(adapter=adapter, rows=table, skipped=[dict(zip(("peer", "work", "why"), s)) for s in skipped])
        json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
