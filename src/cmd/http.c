#include "cmd/http.h"

#include "cmd/answer.h"
#include "cmd/config_load.h"
#include "cmd/terminal.h"
#include "config/config.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	SOCKET_MAX = 108,
	ANSWER_MAX = 64 << 20,
	CONNECT_SECONDS = 5,
	URL_MAX = 16384,
	STARTING_TRIES = 50,
	STARTING_PAUSE = 100 * 1000, /* microseconds */
};
static const int64_t default_timeout = INT64_C(30) * 1000000;
static const char default_socket[] = "/run/godwit/control";

struct http {
	CURL *curl;
	const char *verb;
	char socket[SOCKET_MAX];
	struct buf in;
};

/* ---- which socket ------------------------------------------------------------------------- */

static int from_config(const char *path, char *to, size_t size, bool loud)
{
	struct config *c = cmd_config_load(path, loud);

	if (c == NULL)
		return GW_EFORMAT;
	snprintf(to, size, "%s", c->control);
	config_free(&c);
	return 0;
}

/*
 * A file with mistakes in it: the server that runs with what it was before is to be found all the
 * same, to hear of them or of anything else. The last statement of the main file counts.
 */
static int from_text(const char *path, char *to, size_t size)
{
	FILE *f = fopen(path, "re");
	char line[SOCKET_MAX + 64], word[SOCKET_MAX];
	int found = GW_ENOENT;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, " control %107[^ \t\r\n;#{}\"]", word) != 1 || word[0] != '/')
			continue;
		snprintf(to, size, "%s", word);
		found = 0;
	}
	if (f != NULL)
		fclose(f);
	return found;
}

static int find_socket(const struct cmd_globals *g, char *to, size_t size)
{
	const char *env = getenv("GODWIT_CONTROL");

	if (g->config != NULL) {
		if (from_config(g->config, to, size, false) == 0 ||
		    from_text(g->config, to, size) == 0)
			return CMD_OK;
		return from_config(g->config, to, size, true) < 0 ? CMD_NO : CMD_OK;
	}
	if (env != NULL && env[0] != '\0')
		snprintf(to, size, "%s", env);
	/* Who may not read the configuration may still use the socket. */
	else if (access(CMD_DEFAULT_CONFIG, R_OK) < 0 ||
		 (from_config(CMD_DEFAULT_CONFIG, to, size, false) < 0 &&
		     from_text(CMD_DEFAULT_CONFIG, to, size) < 0))
		snprintf(to, size, "%s", default_socket);
	return CMD_OK;
}

/* ---- the connection ----------------------------------------------------------------------- */

static size_t take(char *data, size_t one, size_t n, void *arg)
{
	struct http *h = arg;

	return buf_add(&h->in, data, one * n) < 0 ? 0 : one * n;
}

struct http *http_new(const char *verb, const char *socket, int64_t timeout)
{
	struct http *h = gw_calloc(1, sizeof(*h));

	h->verb = verb;
	snprintf(h->socket, sizeof(h->socket), "%s", socket);
	buf_init(&h->in, ANSWER_MAX);
	h->curl = curl_easy_init();
	if (h->curl == NULL)
		die("libcurl: out of memory");
	curl_easy_setopt(h->curl, CURLOPT_UNIX_SOCKET_PATH, h->socket);
	curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, h);
	curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(h->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
	curl_easy_setopt(
	    h->curl, CURLOPT_TIMEOUT_MS, (long)((timeout ? timeout : default_timeout) / 1000));
	return h;
}

int http_open(struct http **h, const char *verb, const struct cmd_globals *g)
{
	char path[4096];
	int code = find_socket(g, path, sizeof(path));

	*h = NULL;
	if (code != CMD_OK)
		return code;
	if (strlen(path) >= SOCKET_MAX) {
		fprintf(stderr, "godwit %s: %s: a socket's path has at most %d octets\n", verb,
		    path, SOCKET_MAX - 1);
		return CMD_USAGE;
	}
	*h = http_new(verb, path, g->timeout);
	return CMD_OK;
}

void http_free(struct http **h)
{
	if (*h == NULL)
		return;
	curl_easy_cleanup((*h)->curl);
	buf_fini(&(*h)->in);
	free(*h);
	*h = NULL;
}

/* ---- what went wrong ---------------------------------------------------------------------- */

static int not_connected(const struct http *h)
{
	long err = 0;

	curl_easy_getinfo(h->curl, CURLINFO_OS_ERRNO, &err);
	/* libcurl reports no errno for a socket that is not there. */
	if (err == 0 && access(h->socket, F_OK) < 0)
		err = errno;
	if (err == EACCES || (err != ENOENT && access(h->socket, W_OK) < 0 && errno == EACCES)) {
		fprintf(stderr,
		    "godwit %s: no permission to use %s: be root or a member of its group\n",
		    h->verb, h->socket);
		return CMD_DENIED;
	}
	fprintf(stderr,
	    "godwit %s: no server answers at %s (%s)\n"
	    "start one with \"godwit serve\", name its configuration with --config FILE, or set "
	    "GODWIT_CONTROL as \"godwit dev\" says\n",
	    h->verb, h->socket, err == ENOENT ? "no such socket" : "nobody listens");
	return CMD_AWAY;
}

static int transfer_failed(const struct http *h, CURLcode err)
{
	if (err == CURLE_COULDNT_CONNECT)
		return not_connected(h);
	if (err == CURLE_OPERATION_TIMEDOUT) {
		fprintf(stderr,
		    "godwit %s: no answer from %s in time (--timeout 2m waits longer)\n", h->verb,
		    h->socket);
		return CMD_LATER;
	}
	fprintf(stderr, "godwit %s: %s: %s\n", h->verb, h->socket, curl_easy_strerror(err));
	return CMD_AWAY;
}

static int exit_of(long status)
{
	switch (status) {
	case 400: return CMD_USAGE;
	case 403: return CMD_DENIED;
	case 404: return CMD_NOT_FOUND;
	case 429:
	case 503:
	case 504: return CMD_LATER;
	default: return CMD_NO;
	}
}

static void put_field(struct buf *out, const json_t *from, const char *key, const char *before)
{
	const json_t *v = json_object_get(from, key);

	if (!json_is_string(v))
		return;
	buf_add_str(out, before);
	terminal_text(out, span_of(json_string_value(v), json_string_length(v)), 400);
}

/* It explains JSON, which whoever typed a command did not write. */
static bool is_of_body(const json_t *problem)
{
	return span_eq(answer_text(problem, "type"), SPAN("urn:godwit:problem:bad-body"));
}

/* RFC 9457: detail says what, hint what to do. */
static int refused(const struct http *h, long status, const json_t *problem)
{
	struct buf out;

	buf_init(&out, 16384);
	if (json_is_string(json_object_get(problem, "detail")))
		put_field(&out, problem, "detail", ": ");
	else
		buf_addf(&out, ": the server says %ld", status);
	if (!is_of_body(problem))
		put_field(&out, problem, "hint", "\n");
	fprintf(stderr, "godwit %s%.*s\n", h->verb, SPAN_ARG(buf_view(&out)));
	buf_fini(&out);
	return exit_of(status);
}

/* ---- calls -------------------------------------------------------------------------------- */

static CURLcode transfer(struct http *h, const char *path)
{
	struct buf url;
	CURLcode err;

	buf_init(&url, URL_MAX);
	buf_addf(&url, "http://localhost%s", path);
	buf_add_byte(&url, '\0');
	if (buf_failed(&url)) {
		buf_fini(&url);
		return CURLE_URL_MALFORMAT;
	}
	buf_clear(&h->in);
	curl_easy_setopt(h->curl, CURLOPT_URL, (const char *)buf_view(&url).p);
	err = curl_easy_perform(h->curl);
	buf_fini(&url);
	return err;
}

static int judge(const struct http *h, json_t **answer)
{
	long status = 0;
	int code = CMD_OK;

	curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200 || status > 299) {
		code = refused(h, status, *answer);
	} else if (*answer == NULL) {
		fprintf(stderr, "godwit %s: the answer of %s is not JSON\n", h->verb, h->socket);
		code = CMD_NO;
	}
	if (code != CMD_OK) {
		json_decref(*answer);
		*answer = NULL;
	}
	return code;
}

/* A queue that has just started is not ready for a moment: nothing to bother anybody with. */
static bool is_starting(const struct http *h, const json_t *problem)
{
	const char *title = json_string_value(json_object_get(problem, "title"));
	long status = 0;

	curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
	return status == 503 && title != NULL && strcmp(title, "Not ready") == 0;
}

static CURLcode transfer_json(struct http *h, const char *path, json_t **answer)
{
	CURLcode err = transfer(h, path);

	*answer = NULL;
	if (err == CURLE_OK)
		*answer = json_loadb((const char *)buf_view(&h->in).p, buf_len(&h->in), 0, NULL);
	return err;
}

static int call(struct http *h, const char *path, json_t **answer)
{
	CURLcode err = transfer_json(h, path, answer);

	for (int i = 0; i < STARTING_TRIES && err == CURLE_OK && is_starting(h, *answer); i++) {
		json_decref(*answer);
		usleep(STARTING_PAUSE);
		err = transfer_json(h, path, answer);
	}
	return err == CURLE_OK ? judge(h, answer) : transfer_failed(h, err);
}

int http_get(struct http *h, const char *path, json_t **answer)
{
	curl_easy_setopt(h->curl, CURLOPT_HTTPGET, 1L);
	return call(h, path, answer);
}

int http_post(struct http *h, const char *path, json_t *body, json_t **answer)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	char *text = json_dumps(body, JSON_COMPACT);
	int code;

	json_decref(body);
	if (text == NULL || headers == NULL)
		die("out of memory");
	curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, text);
	code = call(h, path, answer);
	curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
	free(text);
	return code;
}

void http_parameter(struct buf *path, const char *name, const char *value)
{
	buf_addf(path, "%c%s=", span_find(buf_view(path), '?') < 0 ? '?' : '&', name);
	for (const uint8_t *c = (const uint8_t *)value; *c != '\0'; c++) {
		if (ascii_isalpha(*c) || ascii_isdigit(*c) || strchr("-._~", *c) != NULL)
			buf_add_byte(path, *c);
		else
			buf_addf(path, "%%%02X", *c);
	}
}
