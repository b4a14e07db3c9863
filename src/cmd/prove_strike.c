/* One blow of a campaign: whom it hits and how, and the wait until the server is back. */
#include "cmd/prove.h"

#include "base/clock.h"

#include <stdio.h>

/* Who is hit. */
enum blow { HIT_ONE, HIT_SEVERAL, HIT_MASTER, HIT_ALL, HIT_POWER };

enum { WHO_BYTES = 256 };

/* How often each role is chosen when one is. */
static const unsigned weights[ROLE_COUNT] = {[ROLE_QUEUE] = 6,
    [ROLE_SMTPD] = 4,
    [ROLE_SENDER] = 4,
    [ROLE_MDA] = 3,
    [ROLE_CONTROL] = 2,
    [ROLE_VAULT] = 2,
    [ROLE_RESOLVER] = 2,
    [ROLE_HISTORY] = 2};

static enum blow choose_blow(struct prove *p)
{
	uint64_t r = prove_random(p, 100);

	if (p->opt.lie != LIE_NONE || (p->opt.power_cut && prove_random(p, 100) < 65))
		return HIT_POWER;
	if (r < 50)
		return HIT_ONE;
	if (r < 68)
		return HIT_SEVERAL;
	return r < 80 ? HIT_MASTER : HIT_ALL;
}

/* Moves a role of the list, by weight, to its front. */
static void choose_role(struct prove *p, struct prove_role *list, size_t n)
{
	uint64_t sum = 0, at;
	size_t i;

	for (i = 0; i < n; i++)
		sum += weights[list[i].role];
	if (sum == 0)
		return;
	at = prove_random(p, sum);
	for (i = 0; at >= weights[list[i].role]; i++)
		at -= weights[list[i].role];
	struct prove_role first = list[0];
	list[0] = list[i];
	list[i] = first;
}

static void add_who(char who[WHO_BYTES], const char *name)
{
	size_t n = strlen(who);

	snprintf(who + n, WHO_BYTES - n, "%s%s", n > 0 ? " " : "", name);
}

/* Some roles, at the same time as far as one processor can do it; false: there is none. */
static bool hit_roles(struct prove *p, bool several, char who[WHO_BYTES])
{
	struct prove_role list[PROVE_ROLES_MAX];
	size_t n = server_roles(p, list, PROVE_ROLES_MAX), hits = n > 0;

	if (several && n > 1)
		hits = 2 + (size_t)prove_random(p, n - 1);
	for (size_t i = 0; i < hits; i++)
		choose_role(p, list + i, n - i);
	for (size_t i = 0; i < hits; i++)
		server_kill_role(p, &list[i]);
	for (size_t i = 0; i < hits; i++) {
		p->count.role[list[i].role]++;
		add_who(who, role_names[list[i].role]);
	}
	return hits > 0;
}

static void hit_all(struct prove *p, bool master_only, char who[WHO_BYTES])
{
	server_kill_all(p, master_only);
	p->count.all++;
	add_who(who, master_only ? "master" : "all");
	place_trim_log(p);
}

static void cut_power(struct prove *p)
{
	p->count.cuts++;
	if (disk_cut_power_cut(p->spool_fd, prove_random(p, UINT64_MAX), &p->count.lost) < 0)
		prove_trouble(p, "the power cut could not be carried out: %m");
}

static void put_time(struct prove *p, int64_t begin, int64_t end)
{
	ledger_raw(&p->kills, "{\"begin\":");
	ledger_time(&p->kills, begin);
	ledger_raw(&p->kills, ",\"end\":");
	ledger_time(&p->kills, end);
	ledger_raw(&p->kills, "}");
	ledger_line(&p->kills);
}

static void hit(struct prove *p, enum blow blow, char who[WHO_BYTES])
{
	bool roles = blow == HIT_ONE || blow == HIT_SEVERAL;

	if (!roles || !hit_roles(p, blow == HIT_SEVERAL, who))
		hit_all(p, blow == HIT_MASTER, who);
}

/* Now and then the sinks stand still before: then there is acknowledged mail in the queue. */
static void stand_still(struct prove *p)
{
	if (p->opt.lie == LIE_NONE && prove_random(p, 2) == 0)
		return;
	load_hold_takers(p, true);
	prove_wait(p, clock_now() + (int64_t)(50 + prove_random(p, 400)) * USEC_PER_MSEC);
}

/* Now and then the next one comes while the server gets up: then nobody waits for it. */
static int64_t await_return(struct prove *p, int64_t start, bool always)
{
	if (!always && prove_random(p, 6) == 0)
		return -1;
	if (server_greeting(p) < 0)
		return -1;
	if (p->n_back < PROVE_BACK_MAX)
		p->back[p->n_back++] = clock_now() - start;
	return clock_now() - start;
}

void strike(struct prove *p)
{
	enum blow blow = choose_blow(p);
	/* What a sink had taken and not answered when it stood still waits for the kill. */
	int64_t begin = clock_wall(), start, back;
	char who[WHO_BYTES] = "";

	stand_still(p);
	p->up = false;
	start = clock_now();
	hit(p, blow, who);
	put_time(p, begin, clock_wall());
	load_hold_takers(p, false);
	p->count.strikes++;
	if (blow == HIT_POWER)
		cut_power(p);
	if (p->server == 0 && server_start(p) < 0)
		prove_trouble(p, "it cannot be started: %m");
	back = await_return(p, start, blow == HIT_POWER);
	report_strike(p, who, blow == HIT_POWER, back);
}
