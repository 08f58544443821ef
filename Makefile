# Everything that CI runs, by name. `make test` is the one that must pass.

CARGO ?= cargo
# Tests with servers mostly wait: more of them run at once than there are processors. Those of the stores wait for locks, those of
# the world keep the processors busy. With eight of the system at once, one on a busy machine may see a watch that is late.
STORES_AT_ONCE ?= 8
SYSTEM_AT_ONCE ?= 5
WORLD_AT_ONCE ?= 5
# Modules of the world that wait for nothing that has a deadline.
COMPUTING := deploy::kubernetes:: dist:: shipped::

.PHONY: test quick setup lint supply-chain unit waiting computing demo observe dist wheel sim mutants mutants-all fuzz fuzz-coverage fuzz-rows stress week upgrade failover engines image-test bench instructions clean

test: ## all tests, with everything that they need
	@# What both of them need is there before they begin: a compiler for C, and the toolchain, which rustup fetches when it is first asked.
	@command -v cc >/dev/null || scripts/setup-tests.sh
	@$(CARGO) --version
	@echo "Downloading what is missing, and compiling meanwhile: some minutes."
	@$(MAKE) --no-print-directory --jobs --output-sync=target setup lint
	@$(MAKE) --no-print-directory supply-chain unit
	@echo "All tests passed."

setup: ## find or install the servers, the browser and Meltano for the tests
	@scripts/setup-tests.sh

# Clippy's driver is the compiler with more lints, and what it compiles is what the tests run: with `cargo clippy`, which only
# checks, all of it would be compiled once more. It doesn't optimize as the compiler does, so nothing else is built by it. Arguments
# reach it in the form that `cargo clippy` gives them.
lint unit waiting computing: export RUSTC_WORKSPACE_WRAPPER = clippy-driver
lint unit waiting computing: export CLIPPY_ARGS = -D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__

lint: ## formatting, lints and documentation, no warning survives; compiles everything that the tests run
	$(CARGO) fmt --check
	$(CARGO) test --locked --no-run --all-targets
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --quiet

supply-chain: ## licences, sources and unwanted crates; vulnerabilities where their database can be reached
	@scripts/check-supply-chain

unit: ## all tests of the package, against real servers
	@$(MAKE) --no-print-directory --jobs waiting computing
	$(CARGO) test --locked --test world -- --test-threads $(WORLD_AT_ONCE) $(COMPUTING:%=--skip %)

waiting:
	$(CARGO) test --locked --test stores -- --test-threads $(STORES_AT_ONCE)
	$(CARGO) test --locked --test system -- --test-threads $(SYSTEM_AT_ONCE)

# At the lowest priority, with what the tests that wait leave of the processors. What it prints is shown at its end.
computing:
	@printed=$$(nice -n 19 sh -exc 'SEEDS=600 $(CARGO) test --locked --lib --bins --test core; \
	    $(CARGO) test --locked --test world -- $(COMPUTING)' 2>&1); status=$$?; printf '%s\n' "$$printed"; exit $$status

quick: ## what needs no server: the decision, the simulation, the configuration and the house rules, for the minute after an edit
	@# Without the longest of its tests, and with some histories only.
	SEEDS=100 $(CARGO) test --locked --lib --test core -- --skip a_million_names

demo: ## the main job on an embedded database
	$(CARGO) run --release --locked -- demo

observe: ## PostgreSQL, writers, Beatwarden, Prometheus and Alertmanager through an incident, to look around in
	scripts/observe

SEEDS ?= 100000
sim: ## many simulated histories: SEEDS=n of them; a release takes 1,000,000
	SEEDS=$(SEEDS) $(CARGO) test --locked --profile sim --test core sim:: -- --nocapture

SECONDS ?= 600
stress: ## replicas, writers around the deadline and faults for SECONDS=n on every kind of table at once, and a judge of its own
	@# Optimized: fifteen replicas of a debug build keep two processors busy for longer than a deadline once thousands of jobs run.
	STRESS_SECONDS=$(SECONDS) $(CARGO) test --locked --release --test system stress:: -- --nocapture --test-threads 12

INTERVAL ?= 60
week: ## a week beside a file and a server in some twenty minutes, with a clock that the test sets: nothing may grow; INTERVAL=n seconds from pass to pass
	WEEK_HOURS=168 WEEK_INTERVAL=$(INTERVAL) $(CARGO) test --locked --test system week:: -- --nocapture

upgrade: ## this version after and beside an earlier one, which is built from the history: each knows what the other did, nothing is done twice
	STRESS_SECONDS=$(SECONDS) scripts/upgrade

CASES ?= 20000
fuzz: ## the parsers that are ours, and generated configurations, against CASES=n generated inputs each
	PROPTEST_CASES=$(CASES) $(CARGO) test --locked --lib whatever
	PROPTEST_CASES=$(CASES) $(CARGO) test --locked --test core whatever

fuzz-coverage: ## what reads the words of others, under libFuzzer for SECONDS=n each; takes a nightly compiler
	FUZZ_SECONDS=$(SECONDS) scripts/fuzz-coverage

ROWS ?= 100
fuzz-rows: ## ROWS=n tables of hostile rows for each shape of a table, and payloads on both databases
	PROPTEST_CASES=$(ROWS) $(CARGO) test --locked --test stores whatever

SWITCHOVERS ?= 20
# One of `asynchronous`, `synchronous` and `behind_a_pooler`; empty for all three, one after the other.
WAY ?=
failover: ## three nodes under Patroni, whose leader changes SWITCHOVERS=n times by plan and by force, with asynchronous and synchronous replication and behind a pooler, and a judge of its own
	@scripts/setup-tests.sh failover
	SWITCHOVERS=$(SWITCHOVERS) $(CARGO) test --locked --test system patroni::$(WAY) -- --ignored --nocapture --test-threads 1

BESIDE ?= 10000
engines: ## the presets against the large job systems, which are installed first: four gigabytes and some minutes; what a pass costs beside BESIDE=n finished jobs
	@scripts/setup-tests.sh engines
	BESIDE=$(BESIDE) $(CARGO) test --locked --test world engines:: -- --include-ignored --nocapture --test-threads 2

image-test: ## the image built and run by podman as root, as Kubernetes and compose run it, and the whole tour of compose
	@scripts/setup-tests.sh image
	@scripts/image-test

mutants: ## breaks the decision and the statements on purpose, and shows which test notices: some two hours
	@scripts/mutants

mutants-all: ## every mutant that cargo-mutants makes of the decision and of what a pass asks: some hours
	@scripts/setup-tests.sh mutants
	@scripts/mutants --all

bench: ## what it costs, beside two exporters and the bare queries, in 25 minutes; writes its verdicts into docs/benchmarks.md
	@benches/compare/setup.sh
	python3 -B benches/compare/report_tests.py
	python3 -B benches/compare

instructions: ## counts the instructions of the pure core, and fails where they are more than 3 % above the figures kept
	@scripts/instructions

dist: ## all checks of the supply chain, then an archive with everything that an operator needs, and its checksum, in target/dist
	@scripts/check-supply-chain --release
	@scripts/dist

wheel: ## the same binary as a Python wheel, in target/dist
	@scripts/wheel

clean:
	$(CARGO) clean
