# Godwit. "make dev" is the first thing to try; "make check" proves it. No configure step.
#
#   make          the program, build/godwit
#   make dev      install what is missing, build, run "godwit dev"
#   make check    all tests                 make unit, wire, sim, e2e   one layer of them
#   make lint     the house rules           make format, docs           what a program can mend
#   make asan     the tests with ASan, UBSan and LeakSanitizer
#   make fuzz     a short run of every fuzzer (FUZZ_SECONDS=10)
#   make bench    against Postfix           make install PREFIX= DESTDIR=
#
# V=1 shows the commands, -j2 uses two processors. Debian's packages are installed by deps, test-deps
# and lint-deps, which do nothing when all is there; no mail server is ever installed.

BUILD ?= build
CC ?= gcc
FUZZ_CC ?= clang
PYTHON ?= /usr/bin/python3
PREFIX ?= /usr/local
DESTDIR ?=
CFLAGS ?= -O2 -g
FUZZ_SECONDS ?= 10
SEEDS ?=
WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wwrite-strings -Wvla -Werror=implicit-function-declaration -Werror=unused-result
HARDEN ?= -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
BASE_FLAGS = -std=c11 -D_GNU_SOURCE -Isrc $(WARN) -MMD -MP -pthread
LDHARDEN ?= -pie -Wl,-z,relro,-z,now

DEPS = gcc libc6-dev libbsd-dev libcrypt-dev libcurl4-openssl-dev libevent-dev libidn-dev libidn2-dev libjansson-dev \
	libpcre2-dev libseccomp-dev libsodium-dev libsqlite3-dev libssl-dev libunbound-dev libxxhash-dev ca-certificates \
	dns-root-data
# Debian's npm only where there is none: it does not go with a node from elsewhere.
NPM_DEPS := $(if $(shell command -v npm),,nodejs npm)
TEST_DEPS = $(DEPS) clang-format curl libcmocka-dev libnet-ssleay-perl msmtp openssl python3 \
	python3-pytest python3-pytest-xdist strace swaks $(NPM_DEPS)
LINT_DEPS = $(DEPS) libcmocka-dev python3 clang-format mandoc
FUZZ_DEPS = $(DEPS) python3 clang libclang-rt-dev llvm
BENCH_DEPS = $(TEST_DEPS) linux-perf valgrind

DIRS = base mail smtp auth config flow spool net role cmd
# What a directory may lean on: the same order that tools/lint enforces.
LIBS_base =
LIBS_mail = base
LIBS_smtp = mail base
LIBS_config = mail base
LIBS_auth = mail base
LIBS_flow = config auth smtp mail base
LIBS_spool = mail base
LIBS_net = base
LIBS_role = flow config auth smtp spool net mail base
LIBS_cmd = role flow config auth smtp spool net mail base

LDLIBS_base = -lxxhash -lpcre2-8 -lidn2
LDLIBS_crypto = -lssl -lcrypto -lsodium -lcrypt -lidn
LDLIBS_all = $(LDLIBS_crypto) -lunbound -lsqlite3 -levent_core -levent_extra -lseccomp -ljansson -lcurl \
	$(LDLIBS_base) -lbsd

srcs = $(filter-out src/cmd/main.c,$(wildcard src/$(1)/*.c))
objs = $(patsubst src/%.c,$(BUILD)/obj/%.o,$(call srcs,$(1)))
archives = $(foreach d,$(1),$(BUILD)/lib$(d).a)
grouped = -Wl,--start-group $(1) -Wl,--end-group

PROGRAM = $(BUILD)/godwit

ifeq ($(V),)
Q = @
say = @printf '  %-5s %s\n' "$(1)" "$(patsubst $(BUILD)/%,%,$(2))"
endif
# As many at a time as there are processors, unless the caller said.
MAKE_ALL = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: all
all: $(PROGRAM)

.PHONY: help
help:
	@sed -n '/^$$/q;s/^# \{0,1\}//p' Makefile

$(BUILD)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(BASE_FLAGS) $(CFLAGS) $(HARDEN) -c -o $@ $<

# What is built in is read by the assembler, which the compiler's lists do not know.
$(BUILD)/obj/config/builtin.o $(BUILD)/fuzz/obj/config/builtin.o: \
	src/config/builtin_shaping.conf src/config/builtin_replies.conf

define archive_rule
$(BUILD)/lib$(1).a: $(call objs,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)$$(AR) rcs $$@ $$^
endef
$(foreach d,$(DIRS),$(eval $(call archive_rule,$(d))))

# Whole: two rooms that give one name to two functions are an error, not a choice of the linker's.
$(PROGRAM): $(BUILD)/obj/cmd/main.o $(call archives,cmd $(LIBS_cmd))
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDHARDEN) -pthread -o $@ $(BUILD)/obj/cmd/main.o \
		-Wl,--whole-archive $(call archives,cmd $(LIBS_cmd)) -Wl,--no-whole-archive $(LDLIBS_all)

# ---- packages ---------------------------------------------------------------------------------
# Needed to build; to test; to check the rules; to fuzz. A second run finds all installed.
.PHONY: deps test-deps lint-deps fuzz-deps bench-deps peers
deps:
	$(Q)tools/deps $(DEPS)
test-deps:
	$(Q)tools/deps $(TEST_DEPS)
lint-deps:
	$(Q)tools/deps $(LINT_DEPS)
fuzz-deps:
	$(Q)tools/deps $(FUZZ_DEPS)
bench-deps:
	$(Q)tools/deps $(BENCH_DEPS)

# The mail servers and clients that tests talk to, unpacked and not installed.
PEERS = $(BUILD)/peers
peers: test-deps
	$(Q)tools/fetch-peers $(PEERS) || { tools/deps --update && tools/fetch-peers $(PEERS); }

.PHONY: dev
dev: deps
	$(Q)$(MAKE_ALL) all
	$(Q)exec $(PROGRAM) dev $(DEV_OPTIONS)

# ---- unit tests: tests/unit/DIR/x_test.c links only what DIR may lean on --------------------
UNIT_SRCS = $(wildcard tests/unit/*/*_test.c)
UNIT_BINS = $(patsubst tests/%.c,$(BUILD)/tests/%,$(UNIT_SRCS))

define unit_rule
$(BUILD)/tests/unit/$(1)/%_test: tests/unit/$(1)/%_test.c $$(call archives,$(1) $$(LIBS_$(1)))
	@mkdir -p $$(@D)
	$$(call say,TEST,$$@)
	$$(Q)$$(CC) $$(BASE_FLAGS) -Itests $$(CFLAGS) -o $$@ $$< \
		$$(call grouped,$$(call archives,$(1) $$(LIBS_$(1)))) \
		-lcmocka $$(if $$(filter role cmd net,$(1)),$$(LDLIBS_all),$$(LDLIBS_crypto) $$(LDLIBS_base))
endef
$(foreach d,$(DIRS),$(eval $(call unit_rule,$(d))))

# ---- transcripts against the engines: server, and client ------------------------------------
WIRE_BINS = $(BUILD)/tests/wire/run_engine $(BUILD)/tests/wire/run_client
WIRE_LIBS = $(call archives,smtp mail base)
$(BUILD)/tests/wire/run_engine: $(BUILD)/tests/wire/script.o
$(BUILD)/tests/wire/run_%: $(BUILD)/tests/wire/run_%.o $(WIRE_LIBS)
	$(call say,TEST,$@)
	$(Q)$(CC) $(CFLAGS) -o $@ $(filter %.o,$^) $(call grouped,$(WIRE_LIBS)) $(LDLIBS_base)

# ---- simulations: files with a main() are programs, the others their common ground ----------
SIM_SRCS = $(wildcard tests/sim/*.c)
SIM_MAINS = $(if $(SIM_SRCS),$(shell grep -l '^int main\>' $(SIM_SRCS)))
SIM_BINS = $(patsubst %.c,$(BUILD)/%,$(SIM_MAINS))
SIM_COMMON = $(BUILD)/libsim.a
SIM_LIBS = $(call archives,spool flow config auth smtp mail base)
$(SIM_COMMON): $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(SIM_MAINS),$(SIM_SRCS)))
	@rm -f $@
	$(Q)$(AR) rcs $@ $^
# Where planted bugs stand before functions of the program (tests/sim/bugs.c).
SIM_WRAPS = record_decode segment_reader_take truncate_decode change_wins store_retire index_fits \
	index_reader_start broker_recover account_holds limit_connection storm_recovered derive_write \
	queued_landed parked_apply release_of limits_count limits_recover_message line_before \
	deadline_of_commit
$(BUILD)/tests/sim/%_sim: $(BUILD)/tests/sim/%_sim.o $(SIM_COMMON) $(SIM_LIBS)
	$(call say,TEST,$@)
	$(Q)$(CC) $(CFLAGS) -pthread $(SIM_WRAPS:%=-Wl,--wrap=%) -o $@ $< \
		$(call grouped,$(SIM_COMMON) $(SIM_LIBS)) $(LDLIBS_crypto) $(LDLIBS_base)

$(BUILD)/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(BASE_FLAGS) -Itests $(CFLAGS) -c -o $@ $<

# ---- running them -----------------------------------------------------------------------------
# tests/... programs; what does not build counts as failed, and the rest is run all the same.
TEST_BINS = $(UNIT_BINS) $(WIRE_BINS) $(SIM_BINS)
.PHONY: test-programs
test-programs: $(TEST_BINS)

.SECONDARY:

# check_layers LAYERS [BUILD-ARGUMENTS [CHECK-ARGUMENTS]]
check_layers = $(Q)+$(MAKE_ALL) -k $(2) all test-programs && stale= || stale=--stale; \
	exec $(PYTHON) tools/check $(3) $$stale $(1)

.PHONY: check unit wire sim e2e tools
check: deps peers
	$(call check_layers,unit wire sim tools e2e)
unit wire sim: test-deps
	$(call check_layers,$@)
e2e tools: peers
	$(call check_layers,$@)

# Everything again with ASan, UBSan and LeakSanitizer; e2e is the part that runs in one process.
ASAN_FLAGS = CFLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=undefined" HARDEN= LDHARDEN=
.PHONY: asan
asan: deps peers
	$(call check_layers,unit wire sim e2e,BUILD=$(BUILD)/asan $(ASAN_FLAGS),--sanitized $(BUILD)/asan)

export BUILD SEEDS FUZZ_SECONDS

# ---- fuzzers: libFuzzer with ASan and UBSan -------------------------------------------------
FUZZ_SRCS = $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_BINS = $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRCS))
FUZZ_FLAGS = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined
FUZZ_SRC = $(foreach d,base mail smtp auth config flow spool net,$(call srcs,$(d))) $(wildcard src/role/proto_*.c) \
	src/role/history_row.c src/role/vault_dovecot.c src/role/sender_callout.c src/role/sender_callout_conn.c \
	src/role/smtpd_callout.c src/role/smtpd_event.c \
	src/role/mda_forward.c src/role/mda_content.c \
	src/role/maildir_path.c src/role/maildir_place.c src/role/maildir_quota.c src/role/maildir_folder.c
FUZZ_LIB = $(BUILD)/fuzz/librooms.a

$(BUILD)/fuzz/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(FUZZ_CC) $(BASE_FLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -c -o $@ $<
$(FUZZ_LIB): $(patsubst src/%.c,$(BUILD)/fuzz/obj/%.o,$(FUZZ_SRC)) Makefile
	@rm -f $@
	$(Q)$(AR) rcs $@ $(filter %.o,$^)
$(BUILD)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(FUZZ_LIB)
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)
	$(Q)$(FUZZ_CC) $(BASE_FLAGS) -Wno-missing-prototypes -Itests $(FUZZ_FLAGS) -fsanitize=fuzzer \
		-o $@ $< $(FUZZ_LIB) $(LDLIBS_all)

.PHONY: fuzz fuzz-programs
fuzz-programs: $(FUZZ_BINS)
fuzz: fuzz-deps
	$(Q)+$(MAKE_ALL) -k fuzz-programs && stale= || stale=--stale; \
	exec $(PYTHON) tools/check $$stale fuzz

# ---- documents, rules --------------------------------------------------------------------------
GENDOCS = $(BUILD)/gendocs
$(GENDOCS): tools/gendocs.c $(call archives,config smtp net mail base)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(BASE_FLAGS) $(CFLAGS) -o $@ $< $(call grouped,$(call archives,config smtp net mail base)) \
		-levent_core -lxxhash

.PHONY: docs lint lint-build
docs: deps
	$(Q)$(MAKE_ALL) $(GENDOCS)
	$(Q)$(PYTHON) tools/docs $(GENDOCS)

lint-build: $(PROGRAM) $(TEST_BINS) $(GENDOCS)
lint: lint-deps
	$(Q)+$(MAKE_ALL) -k BUILD=$(BUILD)/werror CFLAGS="-O2 -Werror" lint-build && built= || built=--broken; \
	exec $(PYTHON) tools/lint $$built --build $(BUILD)/werror

.PHONY: format
format: lint-deps
	clang-format -i $(wildcard src/*/*.[ch] tests/*/*.[ch] tests/*/*/*.[ch] tools/*.c)

.PHONY: bench
bench: bench-deps peers
	$(Q)$(MAKE_ALL) all
	$(Q)GODWIT=$(abspath $(PROGRAM)) GODWIT_PEERS=$(abspath $(PEERS)) \
		$(PYTHON) tests/bench/run.py $(BENCH_OPTIONS)

# ---- installing ----------------------------------------------------------------------------------
BINDIR = $(DESTDIR)$(PREFIX)/bin
MANDIR = $(DESTDIR)$(PREFIX)/share/man
DOCDIR = $(DESTDIR)$(PREFIX)/share/doc/godwit
.PHONY: install clean
install: $(PROGRAM)
	install -D -m 755 $(PROGRAM) $(BINDIR)/godwit
	install -D -m 644 -t $(MANDIR)/man1 man/godwit.1
	install -D -m 644 -t $(MANDIR)/man5 man/godwit.conf.5
	install -D -m 644 -t $(MANDIR)/man8 man/godwit.8
	install -D -m 644 -t $(DOCDIR)/examples docs/godwit.conf
	install -D -m 644 -t $(DOCDIR) LICENSE README.md

# The unpacked peers stay: they are Debian's and cost a download.
clean:
	find $(BUILD) -mindepth 1 -maxdepth 1 ! -name peers -exec rm -rf {} +

-include $(shell find $(BUILD)/obj $(BUILD)/tests $(BUILD)/fuzz -name '*.d' 2>/dev/null) $(GENDOCS).d
