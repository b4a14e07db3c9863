"""Each call of each role fails or kills it, at every n, while a message goes through and while a role
comes back: no 250 without its flush, nothing lost, nothing delivered that was refused, and the
program works again within 5 s without help.

    GODWIT_LONG=1 /usr/bin/python3 -m pytest -s tests/e2e/test_inject.py     the whole matrix
    GODWIT_SEED=7     another sample of it
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor

import pytest
from conftest import LONG, needs_processes, needs_root
from peers import faults, inject

WORKERS = 3
SAMPLE = 72

pytestmark = [needs_root, needs_processes]


def run_all(cells):
    with ProcessPoolExecutor(WORKERS) as pool:
        return list(pool.map(inject.run_cell, cells))


def test_each_call_fails(program):
    seed = os.environ.get("GODWIT_SEED") or str(int(time.time()) if LONG else 1)
    cells = inject.all_cells()
    if not LONG:
        cells = inject.sample(cells, seed, SAMPLE)
    runs = run_all(cells)
    print(f"\nseed {seed}: {len(runs)} runs, {sum(not r.hit for r in runs)} without their fault, "
          f"slowest return {max(r.back for r in runs):.2f} s\n" + inject.table(runs))
    wrong = {r.name: r.wrong for r in runs if r.wrong}
    assert not wrong, f"seed {seed}: {wrong}"
    assert sum(r.hit for r in runs) > len(runs) * 0.8
    assert {r.fate for r in runs} >= {"acked", "refused"}


# What was wrong once: master that ended, roles that went on in a jail without their trees, a filter
# made without memory, a message without its sender, channels that went deaf, a control socket too.
CASES = [
    ("master", "socketpair", "EMFILE", 2, "smtpd"),
    ("master", "pidfd_open", "ENOMEM", 1, "sender"),
    ("master", "epoll_ctl", "ENOMEM", 3, "queue"),
    ("queue", "openat", "EMFILE", 4, "queue"),
    ("mda", "openat", "ENOMEM", 2, "mda"),
    ("control", "epoll_ctl", "EIO", 4, "control"),
    ("delivery", "fsync", "EINTR", 3, inject.DELIVERY),
    *(("smtpd", "malloc", "ENOMEM", n, inject.DELIVERY) for n in (9, 14, 19, 24)),
    *(("queue", "malloc", "ENOMEM", n, inject.DELIVERY) for n in (5, 25, 45)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_again(program, case):
    run = inject.Cell(*case).run()
    assert run.hit and not run.wrong, run


@pytest.mark.parametrize("cell", [("", "socket", "EMFILE", 1), ("queue", "fsync", "EINTR", 1)],
                         ids=["one_process", "jailed"])
def test_a_missing_flush_is_seen(program, cell):
    """A program whose flush does nothing does not pass, or the matrix proves nothing."""
    with faults.FlushFault() as fault:
        fault.skip()
        run = inject.Cell(*cell, env=fault.env).run()
        assert fault.count > 0
    assert run.fate == "acked" and any(why.startswith("order:") for why in run.wrong), run
