"""Golden cases: for each verifier at least twenty runs with the expected label.

One table serves three tests: the labels themselves, the contract of verifiers, and the rule that
the agent's claims change no label.
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
