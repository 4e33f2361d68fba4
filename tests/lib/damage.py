"""Damages a file that is in use, as a bad disk does.

    damage.py marker FILE TEXT       flips a bit in each place where TEXT stands; prints how many
    damage.py random FILE COUNT SEED flips that many bits somewhere in what is no hole
    damage.py range FILE FROM TO COUNT SEED
"""
import os
import random
import sys


def extents(fd):
    """What is no hole."""
    end, at = os.fstat(fd).st_size, 0
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            return
        hole = os.lseek(fd, at, os.SEEK_HOLE)
        yield at, hole
        at = hole


def flip(fd, offset, bit=0):
    byte = os.pread(fd, 1, offset)[0]
    os.pwrite(fd, bytes([byte ^ (1 << bit)]), offset)


def flip_marked(fd, text):
    count = 0
    for start, end in list(extents(fd)):
        data = os.pread(fd, end - start, start)
        at = data.find(text)
        while at >= 0:
            flip(fd, start + at)
            count += 1
            at = data.find(text, at + len(text))
    print(count)


def flip_within(fd, ranges, count, seed):
    rng = random.Random(int(seed))
    for start, end in rng.choices(ranges, [end - start for start, end in ranges], k=int(count)):
        flip(fd, rng.randrange(start, end), rng.randrange(8))


def main():
    what, path, *rest = sys.argv[1:]
    fd = os.open(path, os.O_RDWR)
    if what == "marker":
        flip_marked(fd, rest[0].encode())
    elif what == "random":
        flip_within(fd, list(extents(fd)), *rest)
    else:
        flip_within(fd, [(int(rest[0]), int(rest[1]))], *rest[2:])
    os.fsync(fd)


main()
