"""Every system call of one delivery fails or kills, at every n: no 250 without its flush, nothing
lost, nothing delivered that was refused, and the program works again within 5 s without help.

    GODWIT_LONG=1 /usr/bin/python3 -m pytest -s tests/e2e/test_inject.py     the whole matrix
    GODWIT_SEED=7     another sample of it
"""

import os
from concurrent.futures import ProcessPoolExecutor

from conftest import LONG, needs_processes, needs_root
from peers import faults, inject

WORKERS = 4


def run_all(cells):
    with ProcessPoolExecutor(WORKERS) as pool:
        return list(pool.map(inject.run_cell, cells))


@needs_root
@needs_processes
def test_each_call_fails(program):
    cells = inject.all_cells(inject.count_calls())
    if not LONG:
        cells = inject.sample(cells, os.environ.get("GODWIT_SEED", "1"))
    runs = run_all(cells)
    print(f"\n{len(runs)} runs, {sum(not r.hit for r in runs)} without their fault\n"
          + inject.table(runs))
    print(f"slowest return: {max(r.back for r in runs):.2f} s")
    wrong = {r.name: r.wrong for r in runs if r.wrong}
    assert not wrong, wrong
    assert sum(r.hit for r in runs) > len(runs) * 0.8
    assert {r.fate for r in runs} >= {"acked", "refused", "unknown"}


@needs_root
@needs_processes
def test_a_missing_flush_is_seen(program):
    """A program whose flush does nothing does not pass, or the matrix proves nothing."""
    with faults.FlushFault() as fault:
        fault.skip()
        run = inject.Cell("socket", "EMFILE", 1, env=fault.env).run()
        assert fault.count > 0
    assert run.fate == "acked" and any(why.startswith("order:") for why in run.wrong), run
