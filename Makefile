# What people type. `make run` shows the daemon at work, `make test` proves that it works.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# The original Supervisor, against which the tests compare. Everything it needs stays in this directory.
SUPERVISOR_VENV ?= $(CURDIR)/.venv
export SUPERVISOR_VENV

# What the tests of the web interface use.
TOOLS_VENV ?= $(CURDIR)/.venv-tools
export TOOLS_VENV

# Where `make install` puts things: under $(DESTDIR)$(PREFIX).
PREFIX ?= /usr/local
export PREFIX
DESTDIR ?=
export DESTDIR

.PHONY: help run prepare test soak check fmt lint docs docs-book deny deep bench install dist check-dist clean

help:
	@echo "make run     build, then supervise the sample programs of conf/supervisord.conf in the foreground"
	@echo "make test    install what the tests need, then run all of them"
	@echo "make soak    the long tests: a thousand kills of the manager, one at each of its system calls, long walks"
	@echo "make check   what the automatic checks run: format, lints, documentation, tests"
	@echo "make docs-book  the book of docs/book as pages in target/book; needs mdbook"
	@echo "make deny    what dependencies may be: cargo-deny if it is installed, else the same by our own tests"
	@echo "make deep    what is checked once a night: dependencies, the oldest compiler, fuzz targets"
	@echo "make bench   measure process life and logs against a bare spawn loop and the original"
	@echo "make install PREFIX=/usr/local DESTDIR=   the binary under its four names, manual pages, completions, sample, unit"
	@echo "make dist    tarballs, wheel, packages, images and lists of parts, into dist/"
	@echo "make check-dist   install each of them into a root of its own and use it (as root, on Debian)"
	@echo "make clean   remove what was built and installed here"

run:
	cargo build --release
	target/release/supervisord -n -c conf/supervisord.conf

prepare:
	.ci/prepare "$(SUPERVISOR_VENV)" "$(TOOLS_VENV)"

test: prepare
	tests/run --locked

soak: prepare
	cargo test --locked --test e2e -- --ignored
	KILL_POINTS_STEP=1 cargo test --locked --test kill_points -- --nocapture
	DEPENDENCY_STEPS=1000000 cargo test --locked --lib core::dependencies::walk_tests

check: fmt lint docs test

fmt:
	cargo fmt --check

lint:
	cargo clippy --locked --all-targets -- -D warnings

docs:
	# Private items are documented, so links to them lead somewhere.
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --no-deps --document-private-items

# Examples, links and the reference are checked by `cargo test --test book`, which needs no mdbook.
MDBOOK_VERSION := 0.5.4
docs-book:
	@if [ "$$(mdbook --version 2>/dev/null)" != "mdbook v$(MDBOOK_VERSION)" ]; then \
		echo "mdbook $(MDBOOK_VERSION) is not installed: cargo install mdbook --locked --version $(MDBOOK_VERSION)" >&2; \
		exit 1; \
	fi
	mdbook build docs/book
	@echo "target/book/index.html"

# Known vulnerabilities are in a database that cargo-deny downloads: `cargo deny check advisories`.
deny:
	@if cargo deny --version >/dev/null 2>&1; then \
		cargo deny --offline check licenses bans sources; \
	else \
		echo "cargo-deny is not installed (cargo install cargo-deny --locked); checking without it"; \
		cargo test --locked --test dependencies; \
	fi

# Dependencies, the oldest compiler, and a minute for each fuzz target.
deep:
	.ci/deep

bench: prepare
	cargo bench --locked --bench life
	cargo bench --locked --bench logs
	cargo bench --locked --bench chaos

install:
	cargo build --locked --release
	packaging/install target/release/supervisord

dist:
	packaging/dist

check-dist:
	packaging/check

clean:
	cargo clean
	rm -rf .venv .venv-tools .venv-dist dist conf/run/*
