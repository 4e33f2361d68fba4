"""Measures ckptfs against btrfs on an equal loop image, turn by turn, in one run: see --help."""
import sys
import time

import report
import report_markdown
from bench import Bench
from cleanup import undo_at_end
from options import parse_arguments


def main():
    """Returns the exit status."""
    options = parse_arguments()
    if options.list:
        print("\n".join(Bench(options).names()))
        return 0
    with undo_at_end() as stack:
        begin = time.monotonic()
        bench = Bench(options)
        bench.open(stack)
        report.print_header(bench.machine, bench.how)
        for result in bench.results():
            report.print_progress(result, time.monotonic() - begin)
    report.print_tables(bench.done, bench.remarks)
    if options.json:
        report.write_json(options.json, bench)
    if options.markdown:
        report_markdown.write(options.markdown, bench)
    failed = [result.name for result in bench.done if result.failures]
    if failed:
        print(f"bench: {len(failed)} failed: {'; '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
