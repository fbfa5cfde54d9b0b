"""The main row: payments captured at once, next to the denominators."""

from benchmarks import pgledger
from benchmarks.loads import Script
from benchmarks.report import ratio_table, subject_table
from benchmarks.rows.row import Row
from benchmarks.stand import MARGIN, Stand
from benchmarks.statistics import summarize

API = "api"
C0, C1, C2 = "C0 statements", "C1 functions", "C2 sets of 16"
PGBENCH, FLASK, PGLEDGER = "pgbench -N", "bare Flask, C1", "pgledger transfers"


def create(stand: Stand) -> object:
    """Measure payments a second in a closed loop."""
    null = stand.null()
    stand.console.print(f"  the generator on a null server: {null:.0f}/s")
    subjects = [
        stand.denominator(C1, Script(name="c1")),
        stand.api_subject(API),
        stand.denominator(C0, Script(name="c0")),
        stand.flask(FLASK),
        stand.denominator(C2, Script(name="c2", units=16)),
        stand.denominator(PGBENCH, Script(name=None)),
    ]
    if stand.options.pgledger:
        subjects.append(pgledger.subject(stand, PGLEDGER))
    else:
        stand.console.print("  without pgledger's transfers: PGLEDGER names no checkout and no URL of one")
    blocks = stand.interleave(subjects)
    stand.console.print(subject_table("Payments, captured at once, closed loop", blocks))
    stand.console.print(ratio_table(API, (C1, FLASK, C0, C2, PGLEDGER, PGBENCH), blocks))
    fastest = summarize([block.per_second for block in blocks if block.subject == API]).high
    enough = null >= MARGIN * fastest
    verdict = "fast enough" if enough else f"[red]TOO SLOW: less than {MARGIN} times what it measures[/]"
    stand.console.print(f"  generator: {null:.0f}/s on a null server, {null / fastest:.1f} times the api; {verdict}")
    return {"blocks": blocks, "null_per_second": null, "generator_is_fast_enough": enough}


ROWS = (Row(name="create", title="payments captured at once, and the denominators", run=create),)
