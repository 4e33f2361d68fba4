"""The rows that have a target, as Markdown for the README: what is missed is bold."""
from report import amount, peers_of, ratio_text
from targets import TARGETS


def _table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def _marked(text, result):
    return f"**{text}**" if result.verdict() == "MISSED" else text


def _grid(results):
    """Rows that differ in one thing are one row of several columns."""
    columns = list(dict.fromkeys(result.column for result in results))
    rows = {}
    for result in results:
        rows.setdefault(result.row, {})[result.column] = result
    for row, cells in rows.items():
        target = next(str(TARGETS[cell.target]) for cell in cells.values())
        yield [row, target, *(_ratio(cells[column]) if column in cells else ""
                              for column in columns)]


def _ratio(result):
    text = ratio_text(result, "ckptfs")
    if result.unit == "s" and result.ratio("ckptfs") is not None:
        text += f" ({amount(result.median('ckptfs'), 's')})"
    return _marked(text, result)


def _list(results):
    for result in results:
        ckptfs = amount(result.median("ckptfs"), result.unit)
        native, ratio = amount(result.median("native"), result.unit), ratio_text(result, "ckptfs")
        yield [result.name, native,
               _marked(ckptfs, result) if result.absolute else ckptfs,
               "" if result.absolute else _marked(ratio, result), str(TARGETS[result.target]),
               ratio_text(result, "ckptfs-dev"), ratio_text(result, "ckptfs-daemon")]


def _peers(results):
    names = list(dict.fromkeys(name for result in results for name in peers_of(result)))
    for result in results:
        yield [result.name, *(ratio_text(result, name) for name in ("ckptfs", *names))]


def write(path, bench):
    """Writes the tables."""
    machine = bench.machine
    lines = [f"Measured on {machine['date']}, Linux {machine['kernel']}, {machine['cores']} × "
             f"{machine['cpu']}, {machine['memory']}, ckptfs {machine['commit']}. "
             f"Repeat with `{bench.how}`. What misses its target is bold.", ""]
    with_target = [result for result in bench.done if result.target]
    listed = [result for result in with_target if not result.column or result.absolute]
    if listed:
        lines += _table(["", "native", "ckptfs", "ratio", "target", "io_uring=off",
                         "no passthrough"], _list(listed))
    for group in dict.fromkeys(result.group for result in with_target):
        grid = [r for r in with_target if r.group == group and r not in listed]
        if grid:
            columns = list(dict.fromkeys(result.column for result in grid))
            lines += _table([f"{group}: ratio to native", "target", *columns], _grid(grid))
    for group in dict.fromkeys(result.group for result in bench.done):
        with_peers = [r for r in bench.done if r.group == group and peers_of(r)]
        if with_peers:
            names = list(dict.fromkeys(name for r in with_peers for name in peers_of(r)))
            lines += _table([f"{group}: ratio to native", "ckptfs", *names], _peers(with_peers))
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
