# Godwit. "make dev" is the first thing to try; "make check" proves it. No configure step.
#
#   make          the program, build/godwit
#   make dev      install what is missing, build, run "godwit dev"
#   make check    all tests           make lint    the house rules
#   make asan     sanitizer build     make fuzz    a short run of every fuzzer
#   make bench    against Postfix     make install DESTDIR= PREFIX=
#   make docs     regenerate the tables in docs/

BUILD ?= build
CC ?= gcc
PREFIX ?= /usr/local
CFLAGS ?= -O2 -g
WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wwrite-strings -Wvla -Werror=implicit-function-declaration -Werror=unused-result
HARDEN ?= -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
BASE_FLAGS = -std=c11 -D_GNU_SOURCE -Isrc $(WARN) -MMD -MP -pthread
LDHARDEN ?= -pie -Wl,-z,relro,-z,now

DIRS = base mail smtp config flow spool net role cmd
# What a directory may lean on: the same order that tools/check-includes enforces.
LIBS_base =
LIBS_mail = base
LIBS_smtp = mail base
LIBS_config = mail base
LIBS_flow = config smtp mail base
LIBS_spool = mail base
LIBS_net = base
LIBS_role = flow config smtp spool net mail base
LIBS_cmd = role flow config smtp spool net mail base

LDLIBS_base = -lxxhash
LDLIBS_all = -levent_core -levent_extra -lseccomp -ljansson -lcurl -lxxhash -lbsd

srcs = $(filter-out src/cmd/main.c,$(wildcard src/$(1)/*.c))
objs = $(patsubst src/%.c,$(BUILD)/obj/%.o,$(call srcs,$(1)))
archives = $(foreach d,$(1),$(BUILD)/lib$(d).a)

PROGRAM = $(BUILD)/godwit
UNIT_SRCS = $(wildcard tests/unit/*/*_test.c)
UNIT_BINS = $(patsubst tests/%.c,$(BUILD)/tests/%,$(UNIT_SRCS))
FUZZ_SRCS = $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_BINS = $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRCS))

# make V=1 shows the commands.
ifeq ($(V),)
Q = @
say = @printf '  %-5s %s\n' "$(1)" "$(patsubst $(BUILD)/%,%,$(2))"
endif

.PHONY: all
all: $(PROGRAM)

$(BUILD)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(BASE_FLAGS) $(CFLAGS) $(HARDEN) -c -o $@ $<

define archive_rule
$(BUILD)/lib$(1).a: $(call objs,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)$$(AR) rcs $$@ $$^
endef
$(foreach d,$(DIRS),$(eval $(call archive_rule,$(d))))

$(PROGRAM): $(BUILD)/obj/cmd/main.o $(call archives,cmd $(LIBS_cmd))
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDHARDEN) -pthread -o $@ $(BUILD)/obj/cmd/main.o \
		-Wl,--start-group $(call archives,cmd $(LIBS_cmd)) -Wl,--end-group $(LDLIBS_all)

# ---- unit tests: tests/unit/DIR/x_test.c links only what DIR may lean on ------------------
define unit_rule
$(BUILD)/tests/unit/$(1)/%_test: tests/unit/$(1)/%_test.c $$(call archives,$(1) $$(LIBS_$(1)))
	@mkdir -p $$(@D)
	$$(call say,TEST,$$@)
	$$(Q)$$(CC) $$(BASE_FLAGS) -Itests $$(CFLAGS) -o $$@ $$< \
		-Wl,--start-group $$(call archives,$(1) $$(LIBS_$(1))) -Wl,--end-group \
		-lcmocka $$(if $$(filter role cmd net,$(1)),$$(LDLIBS_all),$$(LDLIBS_base))
endef
$(foreach d,$(DIRS),$(eval $(call unit_rule,$(d))))

.PHONY: unit
unit: $(UNIT_BINS)

# ---- fuzzers: libFuzzer with ASan and UBSan, the pure rooms compiled in --------------------
FUZZ_CC ?= clang
FUZZ_FLAGS = -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
FUZZ_DIRS = base mail smtp config flow spool
$(BUILD)/fuzz/%: tests/fuzz/%.c $(foreach d,$(FUZZ_DIRS),$(call srcs,$(d)))
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)
	$(Q)$(FUZZ_CC) -std=c11 -D_GNU_SOURCE -Isrc -Itests $(FUZZ_FLAGS) -o $@ $^ -lxxhash

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
