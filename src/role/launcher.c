#include "role/launcher.h"

#include "base/cursor.h"
#include "base/log.h"
#include "role/child.h"
#include "role/pipe_run.h"
#include "role/title.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- what both sides know ---------------------------------------------------------------- */

static void add_pipe(struct launcher *l, const struct target *t)
{
	if (t->kind != TARGET_PIPE)
		return;
	if (l->n_pipe == LAUNCHER_PIPES_MAX)
		die("more than %d programs in the configuration", LAUNCHER_PIPES_MAX);
	l->pipe[l->n_pipe++] = t->pipe;
}

static void find_pipes(struct launcher *l, const struct config *c)
{
	l->n_pipe = 0;
	for (size_t i = 0; i < c->n_domain; i++)
		add_pipe(l, &c->domain[i].deliver);
	for (size_t i = 0; i < c->n_route; i++)
		add_pipe(l, &c->route[i].target);
}

/* ---- the launcher itself ------------------------------------------------------------------ */

struct running {
	TAILQ_ENTRY(running) link;
	struct child child;
	struct starter *starter;
	uint64_t job;
};

struct starter {
	struct loop *loop;
	int fd;
	struct watch watch;
	const struct launcher *known;
	struct pipe_user user[LAUNCHER_PIPES_MAX]; /* name NULL: nobody that it may run as */
	bool is_root;
	unsigned uid;
};

static void tell(const struct starter *s, uint64_t job, int status)
{
	struct buf b;
	struct span out;

	buf_init(&b, 32);
	put_u64(&b, job);
	put_u32(&b, (uint32_t)status);
	out = buf_view(&b);
	if (send(s->fd, out.p, out.n, MSG_NOSIGNAL) != (ssize_t)out.n)
		die("launcher: the mda does not listen");
	buf_fini(&b);
}

static void child_ended(void *arg, struct child *c, int status)
{
	struct running *r = arg;

	(void)c;
	tell(r->starter, r->job, status);
	free(r);
}

/* The frame and its descriptors are the mda's, whom we do not believe: false if it is no launch. */
static bool read_launch(struct span frame, struct launch *x, size_t *pipe)
{
	struct cursor c = cursor_of(frame);

	x->job = get_u64(&c);
	*pipe = get_u32(&c);
	x->id = get_msgid(&c);
	x->size = get_u64(&c);
	x->binary = get_u8(&c) != 0;
	x->subaddress = (char)get_u8(&c);
	x->from = get_span16(&c);
	x->rcpt = get_span16(&c);
	return cursor_done(&c);
}

static void start_one(struct starter *s, const struct launch *x, size_t pipe)
{
	struct running *r = gw_calloc(1, sizeof(*r));
	struct pipe_work w = {.pipe = s->known->pipe[pipe],
	    .letter = {.id = x->id, .from = x->from, .rcpt = x->rcpt, .subaddress = x->subaddress},
	    .user = s->user[pipe],
	    .is_root = s->is_root,
	    .uid = s->uid,
	    .size = x->size,
	    .binary = x->binary,
	    .content = x->content,
	    .report = x->report};
	pid_t pid = child_fork();

	if (pid == 0)
		pipe_run(&w);
	*r = (struct running){.starter = s, .job = x->job};
	if (pid < 0 || child_watch(&r->child, s->loop, pid, child_ended, r) < 0) {
		if (pid >= 0)
			child_kill(pid);
		free(r);
		tell(s, x->job, 1 << 8);
	}
}

static void take_frame(struct starter *s, struct span frame, const int fd[2])
{
	struct launch x = {.content = fd[0], .report = fd[1]};
	size_t pipe;

	if (!read_launch(frame, &x, &pipe) || pipe >= s->known->n_pipe)
		die("launcher: the mda asks for what there is not");
	start_one(s, &x, pipe);
	close(fd[0]);
	close(fd[1]);
}

static void asked(void *arg, bool readable, bool writable)
{
	struct starter *s = arg;
	uint8_t frame[LAUNCHER_FRAME_MAX];
	struct iovec v = {frame, sizeof(frame)};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control;
	struct msghdr m = {.msg_iov = &v,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control)};
	struct cmsghdr *head;
	ssize_t n = recvmsg(s->fd, &m, MSG_CMSG_CLOEXEC);
	int fd[2];

	(void)readable;
	(void)writable;
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0)
		_exit(0); /* the mda is gone */
	head = CMSG_FIRSTHDR(&m);
	if (head == NULL || head->cmsg_type != SCM_RIGHTS ||
	    head->cmsg_len != CMSG_LEN(sizeof(fd)) || m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		die("launcher: the mda speaks of nothing");
	memcpy(fd, CMSG_DATA(head), sizeof(fd));
	take_frame(s, span_of(frame, (size_t)n), fd);
}

static const char *copy(const char *s)
{
	char *to = gw_calloc(1, strlen(s) + 1);

	memcpy(to, s, strlen(s));
	return to;
}

/* Who it may not run as, in words; NULL: it may. */
static const char *unfit(const struct starter *s, const struct pipe *p, const struct passwd *pw)
{
	if (pw == NULL)
		return "its user is not known here";
	if (s->is_root && p->user == NULL)
		return "it would run as root; say: pipe user NAME";
	if (s->is_root && (pw->pw_uid == 0 || pw->pw_gid == 0))
		return "it would run as root";
	if (!s->is_root && pw->pw_uid != geteuid())
		return "only a server that was started as root can give it another user";
	return NULL;
}

/* Names become numbers now: later no file of users is read. */
static void find_user(struct starter *s, size_t i)
{
	const struct pipe *p = s->known->pipe[i];
	const struct passwd *pw = p->user != NULL ? getpwnam(p->user) : getpwuid(geteuid());
	const char *why = unfit(s, p, pw);

	if (why != NULL) {
		log_error("%s gets no mail: %s", p->arg[0], why);
		return;
	}
	s->user[i] = (struct pipe_user){.uid = pw->pw_uid,
	    .gid = pw->pw_gid,
	    .name = copy(pw->pw_name),
	    .home = copy(pw->pw_dir)};
}

_Noreturn static void be_launcher(
    struct starter *s, bool jail, const struct sandbox_filters *filters)
{
	child_keep_fds(&s->fd, 1);
	log_setup(STDERR_FILENO, LOG_LOGFMT, "programs");
	title_set("godwit: programs");
	s->loop = loop_new();
	sandbox_launcher(jail, s->is_root, filters);
	watch_start(&s->watch, s->loop, s->fd, asked, s);
	watch_want(&s->watch, true, false);
	_exit(loop_run(s->loop));
}

static pid_t fork_launcher(const struct launcher *l, int fd, bool jail, unsigned uid,
    const struct sandbox_filters *filters)
{
	struct starter *s = gw_calloc(1, sizeof(*s));
	pid_t pid;

	s->known = l;
	s->fd = fd;
	s->is_root = geteuid() == 0;
	s->uid = uid;
	for (size_t i = 0; i < l->n_pipe; i++)
		find_user(s, i);
	/* What the log still holds is not the child's to write. */
	log_flush();
	pid = child_fork();
	if (pid == 0)
		be_launcher(s, jail, filters);
	for (size_t i = 0; i < l->n_pipe; i++) {
		free((void *)(uintptr_t)s->user[i].name);
		free((void *)(uintptr_t)s->user[i].home);
	}
	free(s);
	return pid;
}

/* ---- the mda's side ----------------------------------------------------------------------- */

static void told(void *arg, bool readable, bool writable)
{
	struct launcher *l = arg;
	uint8_t frame[32];
	ssize_t n = recv(l->fd, frame, sizeof(frame), MSG_DONTWAIT);
	struct cursor c;
	uint64_t job;
	int status;

	(void)readable;
	(void)writable;
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		/* Somebody killed it; what it ran is gone too, and all of that is given again. */
		log_error("the launcher of programs is gone");
		log_flush();
		_exit(1);
	}
	c = cursor_of(span_of(frame, (size_t)n));
	job = get_u64(&c);
	status = (int)get_u32(&c);
	if (!cursor_done(&c))
		die("mda: the launcher of programs is mad");
	l->ended(l->arg, job, status);
}

void launcher_start(struct launcher *l, struct loop *loop, const struct config *c, bool jail,
    unsigned uid, const struct sandbox_filters *filters)
{
	int fd[2];

	l->fd = -1;
	find_pipes(l, c);
	if (l->n_pipe == 0)
		return;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0)
		die("mda: no socket for the launcher");
	if (fork_launcher(l, fd[1], jail, uid, filters) < 0)
		die("mda: no process for the launcher");
	close(fd[1]);
	l->fd = fd[0];
	watch_start(&l->watch, loop, l->fd, told, l);
	watch_want(&l->watch, true, false);
}

static uint32_t number_of(const struct launcher *l, const struct pipe *p)
{
	size_t i = 0;

	while (i < l->n_pipe && !pipe_same(l->pipe[i], p))
		i++;
	gw_assert(i < l->n_pipe);
	return (uint32_t)i;
}

static int send_frame(int fd, struct span frame, const int with[2])
{
	struct iovec v = {(void *)(uintptr_t)frame.p, frame.n};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = {.room = {0}};
	struct msghdr m = {.msg_iov = &v,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&m);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(2 * sizeof(int));
	memcpy(CMSG_DATA(head), with, 2 * sizeof(int));
	return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)frame.n ? 0 : GW_EBUSY;
}

int launcher_ask(struct launcher *l, const struct launch *x)
{
	int with[2] = {x->content, x->report}, err;
	struct buf b;

	buf_init(&b, LAUNCHER_FRAME_MAX);
	put_u64(&b, x->job);
	put_u32(&b, number_of(l, x->pipe));
	put_msgid(&b, &x->id);
	put_u64(&b, x->size);
	put_u8(&b, x->binary);
	put_u8(&b, (uint8_t)x->subaddress);
	put_span16(&b, x->from);
	put_span16(&b, x->rcpt);
	err = buf_failed(&b) ? GW_EBUSY : send_frame(l->fd, buf_view(&b), with);
	buf_fini(&b);
	return err;
}
