"""The command line."""
import argparse

import contestants
import peers

OWN = (contestants.Native, contestants.Ckptfs, contestants.CkptfsDev, contestants.CkptfsDaemon)

_DESCRIPTION = """\
Measures ckptfs against btrfs on a loop image that is attached in the same way, turn by turn: each
round of a workload runs every contestant once, in rotated order, from the same state, each on an
image of its own that is made anew for each group of workloads. Prints for every workload the
medians, the median ratio to native and the target for it, "MISSED" where that is not reached. A
ratio is time to time, or bandwidth to bandwidth. Needs root."""


def _epilogue():
    lines = ["contestants:"]
    for kind in (*OWN, *peers.PEERS):
        there = "" if kind in OWN or kind.installed() else " (not installed)"
        lines.append(f"  {kind.name:<16}{kind.what}{there}")
    lines += ["  The peers take part in the data path only, in one round.", "",
              "exit status: 0 all was measured, whether or not targets were met; 1 a workload",
              "failed; 2 usage; 128 + N ended by signal N."]
    return "\n".join(lines)


def parse_arguments():
    """The options of this run."""
    parser = argparse.ArgumentParser(prog="tools/bench", description=_DESCRIPTION,
                                     epilog=_epilogue(),
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--quick", action="store_true",
        help="some 4 minutes instead of some 50: native and ckptfs only, small sizes, few rounds, "
             "and neither a million files nor more than 1,000 snapshots")
    add("--only", action="append", default=[], metavar="REGEX",
        help="only the workloads whose name, as --list prints it, the expression matches; can be "
             "given several times")
    add("--rounds", type=int, metavar="N",
        help="rounds for native and ckptfs (default: 5, data path 3; with --quick 2)")
    add("--fill", type=float, metavar="SECONDS", default=900.0,
        help="how long to go on making snapshots for the states that want many (default: "
             "%(default).0f); where it is not enough the row says how many there were")
    add("--contestants", metavar="LIST",
        help="names from below, separated by commas (default: all there are; with --quick "
             "native,ckptfs)")
    add("--json", metavar="FILE", help="write everything there, with the raw value of each round")
    add("--markdown", metavar="FILE", help="write the tables there in Markdown, targets only")
    add("--dir", metavar="SCRATCHDIR", default="/var/tmp",
        help="where the images and all files of the run are made, in a fresh directory that goes "
             "again at the end (default: %(default)s)")
    add("--list", action="store_true", help="print the names of the workloads and end")
    add("--binaries", required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds wants 1 or more")
    known = {kind.name for kind in (*OWN, *peers.PEERS)}
    for name in filter(None, (options.contestants or "").split(",")):
        if name not in known:
            parser.error(f"there is no contestant {name}; there are: {', '.join(sorted(known))}")
    return options
