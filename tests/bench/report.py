"""The report: tables for people, JSON for programs."""
import dataclasses
import json

from options import OWN
from targets import TARGETS

_COLUMNS = ("workload", "native", "ckptfs", "ratio", "target", "", "io_uring=off", "no passthrough",
            "daemon CPU")
_OWN_NAMES = [kind.name for kind in OWN]


def amount(value, unit):
    """A value with its unit, in three digits."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if unit == "×":
        return f"{value:.2f}×"
    if unit == "s":
        steps = ((1, "s"), (1e-3, "ms"), (1e-6, "µs"))
    else:
        per = "/s" if unit == "B/s" else ""
        steps = ((2**30, "GiB" + per), (2**20, "MiB" + per), (2**10, "KiB" + per), (1, "B" + per))
    size, name = next((step for step in steps if abs(value) >= step[0]), steps[-1])
    return f"{value / size:.3g} {name}" if value / size < 999.5 else f"{value / size:.0f} {name}"


def ratio_text(result, contestant):
    """A contestant's ratio to native."""
    if contestant in result.failures:
        return "failed"
    ratio = result.ratio(contestant)
    return "–" if ratio is None else f"{ratio:.2f}"


def _row(result):
    cpu = result.cpu_s.get("ckptfs")
    failed = "ckptfs" in result.failures or "scenario" in result.failures
    return (result.name,
            "failed" if "native" in result.failures
            else amount(result.median("native"), result.unit),
            "failed" if failed else amount(result.median("ckptfs"), result.unit),
            ratio_text(result, "ckptfs"),
            str(TARGETS[result.target]) if result.target else "",
            result.verdict(),
            ratio_text(result, "ckptfs-dev"),
            ratio_text(result, "ckptfs-daemon"),
            amount(sum(cpu) / len(cpu), "s") if cpu else "–")


def _aligned(rows, words=()):
    """`words`: columns besides the first that are no numbers."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) if i == 0 or i in words else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        yield "  ".join(cells).rstrip()


def print_header(machine, how):
    """What is measured where, before anything is."""
    for key, value in machine.items():
        print(f"{key + ':':<14}{value}")
    print(f"{'repeat with:':<14}{how}", flush=True)


def print_progress(result, elapsed_s):
    """One line as soon as a row is measured."""
    row = _row(result)
    line = f"{elapsed_s:6.0f} s  {row[0]}: {row[1]} | {row[2]} | {row[3]}  {row[4]} {row[5]}"
    print(line.rstrip(), flush=True)


def peers_of(result):
    """The contestants of a row that are neither native nor ckptfs."""
    return [name for name in result.values if name not in _OWN_NAMES]


def _print_peers(results):
    with_peers = [result for result in results if peers_of(result)]
    names = list(dict.fromkeys(name for result in with_peers for name in peers_of(result)))
    rows = [("workload", "native", "ckptfs", *names)]
    for result in with_peers:
        cells = [f"{amount(result.median(name), result.unit)} ({ratio_text(result, name)})"
                 if result.values.get(name) else ratio_text(result, name)
                 for name in ("ckptfs", *names)]
        rows.append((result.name, amount(result.median("native"), result.unit), *cells))
    print("\n".join(_aligned(rows)))


def _request_rows(results):
    """Of what was traced: how long it took, for how much of that the program waited, for which
    requests, and which it did not wait for."""
    def kinds(result, waits):
        of_kind = {name: kind for name, kind in result.requests.items() if kind["waits"] == waits}
        return ", ".join(f"{kind['count']:,.0f} {name} of "
                         f"{amount(kind['seconds'] / kind['count'], 's')}"
                         for name, kind in of_kind.items() if kind["count"] >= 50)

    for result in results:
        if not result.requests:
            continue
        waited = sum(kind["seconds"] for kind in result.requests.values() if kind["waits"])
        yield (result.name, amount(result.median("native"), "s"), amount(result.traced_s, "s"),
               amount(waited, "s"), kinds(result, True), kinds(result, False))


def print_tables(results, remarks):
    """All rows, group by group, and what there is to say about them."""
    groups = list(dict.fromkeys(result.group for result in results))
    for group in groups:
        print(f"\n{group}: medians; ratios to native; CPU time of the daemon in one measurement")
        rows = [_COLUMNS] + [_row(result) for result in results if result.group == group]
        print("\n".join(_aligned(rows)))
    for group in groups:
        of_group = [result for result in results if result.group == group]
        if any(peers_of(result) for result in of_group):
            print(f"\n{group}, peers: medians and ratios to native")
            _print_peers(of_group)
    rows = list(_request_rows(results))
    if rows:
        print("\nrequests to the daemon, in one more measurement; the trace takes time, too")
        header = ("workload", "native", "ckptfs", "waited", "for", "and nobody waited for")
        print("\n".join(_aligned([header, *rows], words=(4, 5))))
    lines = list(remarks)
    for result in results:
        lines += [f"{result.name}: {note}" for note in result.notes]
        lines += [f"{result.name}: {name} FAILED: {why}" for name, why in result.failures.items()]
    if lines:
        print("\nnotes\n" + "\n".join(f"- {line}" for line in lines))
    verdicts = [result.verdict() for result in results]
    print(f"\n{verdicts.count('ok')} targets met, {verdicts.count('MISSED')} missed")


def write_json(path, bench):
    """Everything, with the raw value of each round."""
    rows = []
    for result in bench.done:
        row = dataclasses.asdict(result)
        row["medians"] = {name: result.median(name) for name in result.values}
        row["ratios"] = {name: result.ratio(name) for name in result.values if name != "native"}
        row["verdict"] = result.verdict()
        rows.append(row)
    document = {"machine": bench.machine, "repeat_with": bench.how, "remarks": bench.remarks,
                "targets": {key: dataclasses.asdict(target) for key, target in TARGETS.items()},
                "results": rows}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1, ensure_ascii=False)
        file.write("\n")
