#include "role/blotter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

_Static_assert(sizeof(struct blotter) <= BLOTTER_PAGE, "a blotter fills one page at most");

const char *const blotter_names[BLOTTER_KINDS] = {
    "nothing", "client", "job", "commit", "message", "record", "frame"};

static struct blotter own_page;
static struct blotter *page_now = &own_page;

void blotter_attach(struct blotter *page)
{
	page_now = page;
}

void blotter_detach(void)
{
	struct blotter *page = page_now;

	page_now = &own_page;
	if (page != &own_page)
		munmap(page, BLOTTER_PAGE);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The kind comes last: what stands beside it is whole. A signal of our own is the only reader. */
static void set_kind(enum blotter_kind kind)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&page_now->kind, (uint32_t)kind, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void put_word(char *to, size_t size, const char *word)
{
	size_t n = strnlen(word, size - 1);

	memcpy(to, word, n);
	to[n] = '\0';
}

void blotter_client(const struct blotter_addr *addr, uint64_t session, const char *stage)
{
	set_kind(BLOTTER_NOTHING);
	page_now->addr = *addr;
	page_now->number = session;
	put_word(page_now->stage, sizeof(page_now->stage), stage);
	set_kind(BLOTTER_CLIENT);
}

void blotter_job(uint64_t job, const struct msgid *id, const char *peer, const char *stage)
{
	set_kind(BLOTTER_NOTHING);
	page_now->number = job;
	page_now->id = *id;
	put_word(page_now->peer, sizeof(page_now->peer), peer);
	put_word(page_now->stage, sizeof(page_now->stage), stage);
	set_kind(BLOTTER_JOB);
}

void blotter_commit(const struct msgid *id, const struct blotter_addr *addr)
{
	set_kind(BLOTTER_NOTHING);
	page_now->id = *id;
	page_now->addr = *addr;
	set_kind(BLOTTER_COMMIT);
}

void blotter_message(const struct msgid *id)
{
	set_kind(BLOTTER_NOTHING);
	page_now->id = *id;
	set_kind(BLOTTER_MESSAGE);
}

void blotter_record(const struct msgid *id, uint64_t segment, uint64_t offset)
{
	set_kind(BLOTTER_NOTHING);
	page_now->id = *id;
	page_now->segment = segment;
	page_now->offset = offset;
	set_kind(BLOTTER_RECORD);
}

void blotter_frame(unsigned role, unsigned index, uint64_t job, const char *type)
{
	set_kind(BLOTTER_NOTHING);
	page_now->segment = role;
	page_now->offset = index;
	page_now->number = job;
	put_word(page_now->stage, sizeof(page_now->stage), type);
	set_kind(BLOTTER_FRAME);
}

void blotter_stage(const char *stage)
{
	put_word(page_now->stage, sizeof(page_now->stage), stage);
}

void blotter_clear(void)
{
	set_kind(BLOTTER_NOTHING);
}

/* ---- master ---------------------------------------------------------------------------------- */

struct blotter *blotter_map(void)
{
	void *p =
	    mmap(NULL, BLOTTER_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("no memory for a blotter: %s", strerror(errno));
	return p;
}

void blotter_unmap(struct blotter **page)
{
	if (*page != NULL)
		munmap(*page, BLOTTER_PAGE);
	*page = NULL;
}

static void clean_text(char *text, size_t size)
{
	text[size - 1] = '\0';
	for (; *text != '\0'; text++) {
		if (*text <= ' ' || *text >= 0x7f)
			*text = '?';
	}
}

void blotter_read(struct blotter *page, struct blotter *out)
{
	uint32_t kind = __atomic_load_n(&page->kind, __ATOMIC_RELAXED);

	*out = *page;
	memset(page, 0, sizeof(*page));
	if (kind <= BLOTTER_NOTHING || kind >= BLOTTER_KINDS) {
		memset(out, 0, sizeof(*out));
		return;
	}
	out->kind = kind;
	clean_text(out->stage, sizeof(out->stage));
	clean_text(out->peer, sizeof(out->peer));
}

int blotter_crash(int status)
{
	static const int faults[] = {SIGSEGV, SIGABRT, SIGBUS, SIGSYS, SIGILL, SIGFPE, SIGTRAP};

	for (size_t i = 0; WIFSIGNALED(status) && i < GW_ARRAY_LEN(faults); i++) {
		if (WTERMSIG(status) == faults[i])
			return faults[i];
	}
	return 0;
}

/* ---- addresses ------------------------------------------------------------------------------- */

static struct blotter_addr mapped(const void *four)
{
	struct blotter_addr a = {{[10] = 0xff, [11] = 0xff}};

	memcpy(a.b + 12, four, 4);
	return a;
}

struct blotter_addr blotter_addr_of(const struct sockaddr_storage *sa)
{
	struct blotter_addr a = {{0}};

	if (sa->ss_family == AF_INET6)
		memcpy(a.b, &((const struct sockaddr_in6 *)sa)->sin6_addr, sizeof(a.b));
	else if (sa->ss_family == AF_INET)
		a = mapped(&((const struct sockaddr_in *)sa)->sin_addr);
	return a;
}

struct blotter_addr blotter_addr_parse(struct span text)
{
	struct blotter_addr a = {{0}};
	char cstr[BLOTTER_ADDR_TEXT];
	struct in_addr four;

	if (text.n >= sizeof(cstr))
		return a;
	span_to_cstr(text, cstr, sizeof(cstr));
	if (inet_pton(AF_INET, cstr, &four) == 1)
		return mapped(&four);
	if (inet_pton(AF_INET6, cstr, a.b) != 1)
		memset(a.b, 0, sizeof(a.b));
	return a;
}

bool blotter_addr_local(const struct blotter_addr *a)
{
	static const struct blotter_addr none;

	return memcmp(a, &none, sizeof(none)) == 0;
}

void blotter_addr_format(const struct blotter_addr *a, char out[BLOTTER_ADDR_TEXT])
{
	static const struct blotter_addr prefix = {{[10] = 0xff, [11] = 0xff}};

	if (blotter_addr_local(a))
		snprintf(out, BLOTTER_ADDR_TEXT, "local");
	else if (memcmp(a->b, prefix.b, 12) == 0)
		inet_ntop(AF_INET, a->b + 12, out, BLOTTER_ADDR_TEXT);
	else
		inet_ntop(AF_INET6, a->b, out, BLOTTER_ADDR_TEXT);
}
