"""EdgeProfile against its peers: every figure a ratio of interleaved rounds within one run.

Workloads (`data`, `traces`) stand apart from contenders (`contenders`), and each contender is a process of its own, in a
virtual environment of its own, started as ``python -m benchmarks.contenders.NAME`` and spoken to in lines of JSON
(`protocol`). The figures (`figures`) say what is measured and what must be reached.

Modules that contenders import (`data`, `traces`, `resp`, `protocol`) need nothing but the standard library.
"""
