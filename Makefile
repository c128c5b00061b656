# Names the jobs; meson and cargo do them, the scripts in setup/ prepare them.

# make play FILE=...: handed on through the environment, so that any name works.
export FILE
# The others are too short to measure.
CLIPS ?= $(wildcard samples/*.264 samples/*.265)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 26

setup: ## install and fetch what is needed (does nothing when all is there)
	@setup/setup.sh

sysroot-avcodec: setup ## fetch libavcodec for arm64 as well (119 MB), for the iotdec_avcodec_* elements
	@setup/sysroot.sh avcodec

sysroot-libraries: setup ## fetch the libraries that are wrapped for native programs, and their tests (100 MB)
	@setup/libraries.sh

wheels: setup ## fetch the aarch64 libraries out of Python wheels that tests decode with
	@setup/wheels.sh

build: setup ## build everything into build/
	@setup/build.sh

play: build ## decode and show a sample, or FILE=/path/to/video
	@setup/devenv build/cli/iotdec play $${FILE:+"$$FILE"}

check: setup ## build, and run every test
	@setup/check.sh

races: build ## look for data races in the native side of wrapped libraries (ThreadSanitizer)
	@setup/races.sh

bench: build ## measure decoding speed on the samples
	@setup/devenv build/cli/iotdec bench $(CLIPS)

bench-accelerator: build ## measure what the accelerator brings, write it into docs/accelerator.md
	@setup/bench-accelerator.sh

conformance: build ## decode every test vector, write docs/conformance.md
	@setup/conformance.sh

clean: ## remove what was built; set-up's .deps stays
	rm -rf build target

.PHONY: help setup sysroot-avcodec sysroot-libraries wheels build play check races bench bench-accelerator conformance clean
