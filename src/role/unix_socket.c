#include "role/unix_socket.h"

#include "role/dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024, USUAL_MODE = 0660, PATH_OCTETS = 512, NAME_TEXT = 128 };

/* While it is made. */
struct making {
	const struct unix_socket *u;
	char above[PATH_OCTETS], temp[PATH_OCTETS + 32]; /* the folder it is for; ours in there */
	const char *name;                                /* in the folder */
	int above_fd, temp_fd, fd;
	uid_t uid;
	gid_t gid;
	const char *why; /* NULL: errno says it */
	char text[NAME_TEXT];
};

static int refuse(struct making *m, const char *why)
{
	m->why = why;
	return GW_EBUSY;
}

static int refuse_name(struct making *m, const char *what, const char *name)
{
	snprintf(m->text, sizeof(m->text), "there is no %s %.64s on this machine", what, name);
	return refuse(m, m->text);
}

/* ---- before it is made --------------------------------------------------------------------------
 */

static int find_ids(struct making *m)
{
	const struct passwd *user = m->u->owner ? getpwnam(m->u->owner) : NULL;
	const struct group *group = m->u->group ? getgrnam(m->u->group) : NULL;

	if (m->u->owner != NULL && user == NULL)
		return refuse_name(m, "user", m->u->owner);
	if (m->u->group != NULL && group == NULL)
		return refuse_name(m, "group", m->u->group);
	m->uid = user ? user->pw_uid : (uid_t)-1;
	m->gid = group ? group->gr_gid : m->u->gid ? *m->u->gid : (gid_t)-1;
	return 0;
}

int unix_socket_address(const char *path, struct sockaddr_un *sa)
{
	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(sa->sun_path))
		return GW_EFULL;
	strcpy(sa->sun_path, path);
	return 0;
}

bool unix_socket_answers(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool answers;

	if (fd < 0)
		return false;
	/* EAGAIN: its backlog is full, so it is alive. */
	answers = connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 || errno == EAGAIN;
	close(fd);
	return answers;
}

/* Is there something that has to stay? */
static int look(struct making *m)
{
	struct sockaddr_un sa;
	struct stat st;

	if (unix_socket_address(m->u->path, &sa) < 0)
		return refuse(m, "the path of a socket has at most 107 octets");
	if (fstatat(m->above_fd, m->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : GW_EBUSY;
	if (!S_ISSOCK(st.st_mode))
		return refuse(m, "something is there that is no socket");
	return unix_socket_answers(&sa) ? refuse(m, "in use: somebody answers there") : 0;
}

static int open_above(struct making *m)
{
	const char *slash = strrchr(m->u->path, '/');

	if (slash == NULL || (size_t)(slash - m->u->path) >= sizeof(m->above))
		return refuse(m, "not a path");
	snprintf(m->above, sizeof(m->above), "%.*s", (int)(slash - m->u->path), m->u->path);
	m->name = slash + 1;
	if (dir_make_above(m->u->path, 0755) < 0)
		return GW_EBUSY;
	m->above_fd = open(m->above[0] ? m->above : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return m->above_fd < 0 ? GW_EBUSY : 0;
}

/* ---- making it ----------------------------------------------------------------------------------
 */

/* Somebody else's folder may have come into the place of ours meanwhile. */
static int open_temp(struct making *m)
{
	struct stat st;

	snprintf(m->temp, sizeof(m->temp), "%s/.godwit-XXXXXX", m->above);
	if (mkdtemp(m->temp) == NULL) {
		m->temp[0] = '\0';
		return GW_EBUSY;
	}
	m->temp_fd = openat(m->above_fd, strrchr(m->temp, '/') + 1,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (m->temp_fd < 0 || fstat(m->temp_fd, &st) < 0)
		return GW_EBUSY;
	if (st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return refuse(m, "the folder was changed while the socket was made");
	return 0;
}

/* The mode is there from its first moment. */
static int bind_it(struct making *m)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	mode_t mode = m->u->mode != 0 ? m->u->mode : USUAL_MODE, before;
	int err;

	m->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (m->fd < 0)
		return GW_EBUSY;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/s", m->temp_fd);
	before = umask(0777 & ~mode);
	err = bind(m->fd, (const struct sockaddr *)&sa, sizeof(sa));
	umask(before);
	if (err < 0 || fchownat(m->temp_fd, "s", m->uid, m->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return GW_EBUSY;
	return listen(m->fd, BACKLOG) < 0 ? GW_EBUSY : 0;
}

static int make(struct making *m)
{
	if (find_ids(m) < 0 || open_above(m) < 0 || look(m) < 0 || open_temp(m) < 0 ||
	    bind_it(m) < 0)
		return GW_EBUSY;
	return renameat(m->temp_fd, "s", m->above_fd, m->name) < 0 ? GW_EBUSY : 0;
}

static void clean_up(struct making *m)
{
	if (m->temp_fd >= 0) {
		(void)unlinkat(m->temp_fd, "s", 0);
		close(m->temp_fd);
	}
	if (m->temp[0] != '\0')
		(void)unlinkat(m->above_fd, strrchr(m->temp, '/') + 1, AT_REMOVEDIR);
	if (m->above_fd >= 0)
		close(m->above_fd);
}

int unix_socket_listen(const struct unix_socket *u, const char *where, FILE *say)
{
	struct making m = {.u = u, .above_fd = -1, .temp_fd = -1, .fd = -1};
	int err = make(&m), saved = errno;

	clean_up(&m);
	if (err == 0)
		return m.fd;
	fprintf(say, "godwit: %s: cannot listen on %s: %s\n", where, u->path,
	    m.why ? m.why : strerror(saved));
	if (m.fd >= 0)
		close(m.fd);
	return GW_EBUSY;
}
