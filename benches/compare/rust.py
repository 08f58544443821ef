"""What is measured from inside, by the benchmarks of cargo: each compares with its own peer in the same run, and its words are kept."""

import machine

BENCHES = ["repair_cost", "elsewhere_cost"]
# They take some minutes each.
LONG = ["guard_cost", "writer_cost"]


def rust(bench):
    for name in BENCHES + (LONG if bench.full else []):
        bench.attempt(f"cargo bench --bench {name}", run, bench, name)


def run(bench, name):
    # As it is shipped, and built before it waits for quiet: the compiler is the loudest of all.
    command = ["cargo", "bench", "--locked", "--quiet", "--profile", "dist", "--bench", name]
    machine.output([*command, "--no-run"], 1200, cwd=bench.root)
    bench.patience.wait()
    said = machine.output(command, 900, cwd=bench.root)
    print(said, flush=True)
    bench.emit({"section": "rust", "program": name, "said": said})
