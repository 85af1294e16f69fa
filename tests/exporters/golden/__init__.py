"""Golden cases: for each verifier at least twenty runs with the label that it must give.

One table serves three tests: the labels themselves, the contract of verifiers, and that what an agent claims of itself
changes none of them.
"""

from golden import answers, calls, combined, facts, programs, results

GOLDEN = {
    **answers.GOLDEN,
    **calls.GOLDEN,
    **combined.GOLDEN,
    **facts.GOLDEN,
    **programs.GOLDEN,
    **results.GOLDEN,
}
