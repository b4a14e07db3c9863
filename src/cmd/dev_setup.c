#include "cmd/dev_setup.h"

#include "cmd/send_session.h"
#include "role/port_owner.h"
#include "role/role.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEFAULT_PORT = 2525, SOCKET_PATH_MAX = 107, OPEN_DIRS = 16 };

/* ---- listeners ------------------------------------------------------------------------------ */

static bool to_sockaddr(const char *host, uint16_t port, struct sockaddr_storage *sa, socklen_t *n)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	*sa = (struct sockaddr_storage){0};
	if (inet_pton(AF_INET, host, &in.sin_addr) == 1) {
		memcpy(sa, &in, *n = sizeof(in));
		return true;
	}
	if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
		memcpy(sa, &in6, *n = sizeof(in6));
		return true;
	}
	return false;
}

static bool is_loopback(const char *host)
{
	return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

static bool all_digits(const char *text)
{
	return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

int dev_listen_parse(const char *text, char at[DEV_AT_MAX], bool *loopback)
{
	struct sockaddr_storage sa;
	char whole[DEV_AT_MAX], host[64];
	uint16_t port;
	socklen_t n;

	if (strlen(text) >= DEV_AT_MAX - 12)
		return GW_EFORMAT;
	/* A port alone, and an IPv6 address without its brackets. */
	if (all_digits(text))
		snprintf(whole, sizeof(whole), "127.0.0.1:%s", text);
	else if (strchr(text, ':') != strrchr(text, ':') && text[0] != '[')
		snprintf(whole, sizeof(whole), "[%s]", text);
	else
		snprintf(whole, sizeof(whole), "%s", text);
	if (send_server_parse(whole, host, sizeof(host), &port) < 0)
		return GW_EFORMAT;
	if (strcmp(host, "localhost") == 0)
		snprintf(host, sizeof(host), "127.0.0.1");
	port = port ? port : DEFAULT_PORT;
	if (!to_sockaddr(host, port, &sa, &n))
		return GW_EFORMAT;
	snprintf(at, DEV_AT_MAX, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
	*loopback = is_loopback(host);
	return 0;
}

/* Can we listen there? What is wrong is told. */
static bool is_free(const char *at)
{
	char host[64], owner[128];
	struct sockaddr_storage sa;
	int fd, on = 1, err = 0;
	uint16_t port;
	socklen_t n;

	if (send_server_parse(at, host, sizeof(host), &port) < 0 ||
	    !to_sockaddr(host, port, &sa, &n))
		return false;
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, n) < 0 || listen(fd, 1) < 0)
		err = errno;
	if (fd >= 0)
		close(fd);
	if (err == EADDRINUSE && port_owner(port, owner, sizeof(owner)))
		fprintf(stderr, "godwit dev: %s is taken by %s\n", at, owner);
	else if (err != 0)
		fprintf(stderr, "godwit dev: %s: %s\n", at, strerror(err));
	return err == 0;
}

static int add_listener(struct dev_setup *s, const char *text)
{
	char at[DEV_AT_MAX];
	bool loopback;

	if (dev_listen_parse(text, at, &loopback) < 0)
		return flags_usage(
		    "dev", "--listen '%s' is not ADDRESS, ADDRESS:PORT or PORT", text);
	if (s->n_listen == DEV_LISTEN_MAX)
		return flags_usage("dev", "more than %d --listen", DEV_LISTEN_MAX);
	if (!is_free(at))
		return CMD_OK;
	s->open = s->open || !loopback;
	snprintf(s->listen[s->n_listen++], DEV_AT_MAX, "%s", at);
	return CMD_OK;
}

int dev_choose_listeners(struct dev_setup *s)
{
	static const struct flag_list usual = {{"127.0.0.1:2525", "127.0.0.1:1025"}, 2};
	const struct flag_list *list = s->listen_flags.n > 0 ? &s->listen_flags : &usual;

	for (size_t i = 0; i < list->n; i++) {
		int code = add_listener(s, list->value[i]);

		if (code != CMD_OK)
			return code;
	}
	if (s->n_listen > 0)
		return CMD_OK;
	fputs(
	    "godwit dev: no address is left to listen on; --listen 127.0.0.1:PORT names another\n",
	    stderr);
	return CMD_NO;
}

/* ---- directories ------------------------------------------------------------------------------
 */

bool dev_path_usable(const char *path)
{
	return strlen(path) + sizeof("/control") - 1 <= SOCKET_PATH_MAX &&
	       strpbrk(path, "\"%$\n\r\t") == NULL;
}

static int complain(const char *path, const char *why)
{
	fprintf(stderr, "godwit dev: %s: %s\n", path, why);
	return CMD_NO;
}

static int make_temporary(struct dev_setup *s)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(s->dir, sizeof(s->dir), "%s/godwit-dev.XXXXXX",
	    tmp != NULL && tmp[0] == '/' ? tmp : "/tmp");
	if (mkdtemp(s->dir) == NULL)
		return complain(s->dir, strerror(errno));
	s->temporary = true;
	return CMD_OK;
}

static int bad_path(const char *path)
{
	return complain(
	    path, "the path is too long, or has one of \" % $ in it; choose another with --data");
}

static int make_lasting(struct dev_setup *s)
{
	if (!dev_path_usable(s->data))
		return bad_path(s->data);
	if (mkdir(s->data, 0700) < 0 && errno != EEXIST)
		return complain(s->data, strerror(errno));
	if (realpath(s->data, s->dir) == NULL)
		return complain(s->data, strerror(errno));
	return CMD_OK;
}

/*
 * Started as root, deliveries run as whoever owns the data directory, and as the run-as user if
 * that is root.
 */
static bool give_mailbox(const struct dev_setup *s, const char *mailbox)
{
	struct stat st;
	unsigned uid, gid;

	if (geteuid() != 0)
		return true;
	if (stat(s->dir, &st) == 0 && st.st_uid != 0)
		return chown(mailbox, st.st_uid, st.st_gid) == 0;
	errno = ESRCH;
	return sandbox_ids(s->run_as, ROLE_MDA, &uid, &gid) >= 0 && chown(mailbox, uid, gid) == 0;
}

static int make_mailbox(const struct dev_setup *s)
{
	char mailbox[PATH_MAX + 16];

	snprintf(mailbox, sizeof(mailbox), "%s/Maildir", s->dir);
	if (mkdir(mailbox, 0700) < 0)
		return errno == EEXIST ? CMD_OK : complain(mailbox, strerror(errno));
	return give_mailbox(s, mailbox) ? CMD_OK : complain(mailbox, strerror(errno));
}

/* A developer's machine need not have our users; nobody is good enough for caught mail. */
static void choose_user(struct dev_setup *s)
{
	unsigned uid, gid;

	s->run_as = "godwit";
	if (geteuid() == 0 && sandbox_ids("godwit", ROLE_QUEUE, &uid, &gid) != 0)
		s->run_as = "nobody";
}

int dev_make_dirs(struct dev_setup *s)
{
	int code = s->data != NULL ? make_lasting(s) : make_temporary(s);

	if (code != CMD_OK)
		return code;
	if (!dev_path_usable(s->dir))
		return bad_path(s->dir);
	choose_user(s);
	return make_mailbox(s);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path) < 0 && errno != ENOENT;
}

void dev_remove_dirs(const struct dev_setup *s)
{
	if (s->temporary &&
	    nftw(s->dir, remove_one, OPEN_DIRS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0)
		fprintf(
		    stderr, "godwit dev: %s could not be removed: %s\n", s->dir, strerror(errno));
}

/* ---- configuration ------------------------------------------------------------------------------
 */

void dev_config(const struct dev_setup *s, struct buf *out)
{
	buf_add_str(out, "hostname localhost\nlisten submission");
	for (size_t i = 0; i < s->n_listen; i++)
		buf_addf(out, " %s", s->listen[i]);
	/* Programs under test log in as their users will, with TLS or without. Beyond this machine
	   no login is good by itself. */
	buf_add_str(out, s->open ? " { auth off }" : " { auth plaintext }\nusers any");
	buf_add_str(out, "\ntrust 127.0.0.0/8 ::1\n"
			 "limits { connections 1000 per-ip 1000; transactions 1000000 }\n");
	/* Caught mail harms nobody: whoever can reach the catcher may put mail into it. */
	if (s->open && s->forward == NULL)
		buf_add_str(out, "trust 0.0.0.0/0 ::/0\nallow-open-relay yes\n");
	buf_addf(out, "run-as %s\n", s->run_as);
	buf_addf(out, "spool \"%s/queue\"\ncontrol \"%s/control\"\n", s->dir, s->dir);
	buf_add_str(out, "log json { subject on }\nfaults any.test\n");
	if (s->forward != NULL)
		buf_addf(out, "route to any via relay %s\n", s->forward);
	else
		buf_addf(out, "route to any via maildir \"%s/Maildir\"\n", s->dir);
	buf_add_str(out, "shape * { retry 5s 15s 1m; expire 1h }\n"
			 "store { segment 8M; reserve 16M; spares 1 }\n");
}
