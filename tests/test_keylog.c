/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * SSLKEYLOGFILE: who may have it, where it may be, and that what is in it is
 * what the other end of the connection has. The administrator's leave is put
 * in its place in a mount namespace of the test's own, which takes root.
 */

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tls_proxy.h>
#include <unistd.h>

#include "harness.h"

/* Nobody has them; what root becomes to test as an ordinary user. */
#define USER	  "4242"
#define OTHER	  4243

#define MAX_LINES 256

static char dir[] = "/tmp/test_keylog.XXXXXX";
static char keylog[64], trace[64];

/* Whether a tmpfs there would hide what the test needs. */
static int
is_needed(const char *path)
{
	static const char *const names[] = { "LIBTLS_PROXY_LIBEXEC",
		"TEST_CERTS" };
	const size_t len = strlen(path);
	size_t i;

	if (strcmp(path, "/") == 0 || strcmp(path, "/usr") == 0)
		return 1;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strncmp(getenv(names[i]), path, len) == 0)
			return 1;
	}
	return 0;
}

/* Makes the directory, in a new file system over the next one that is there. */
static int
shadow(const char *path)
{
	static dev_t ours;
	char above[512], *slash;
	struct stat st;

	snprintf(above, sizeof(above), "%s", path);
	while (stat(above, &st) == -1) {
		CHECK((slash = strrchr(above, '/')) != NULL);
		*(slash == above ? slash + 1 : slash) = '\0';
	}
	if (ours == 0 || st.st_dev != ours) {
		if (is_needed(above))
			return 0;
		CHECK_INT(
		    mount("tmpfs", above, "tmpfs", MS_NOSUID, "mode=0755"), 0);
		CHECK_INT(stat(above, &st), 0);
		ours = st.st_dev;
	}
	for (slash = above + strlen(above); strcmp(above, path) != 0;) {
		snprintf(above, sizeof(above), "%s", path);
		if ((slash = strchr(slash + 1, '/')) != NULL)
			*slash = '\0';
		else
			slash = above;
		CHECK(mkdir(above, 0755) == 0 || errno == EEXIST);
	}
	return 1;
}

static const char *
leave(void)
{
	return getenv("KEYLOG_LEAVE");
}

static char *
leave_dir(void)
{
	static char path[512];

	snprintf(path, sizeof(path), "%.*s",
	    (int)(strrchr(leave(), '/') - leave()), leave());
	return path;
}

static int
enter_namespace(void)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static void
write_file(const char *path, const char *text, size_t len, mode_t mode)
{
	int fd;

	CHECK(unlink(path) == 0 || errno == ENOENT);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	CHECK(fd != -1);
	CHECK_INT(write(fd, text, len), len);
	CHECK_INT(fchmod(fd, mode), 0);
	close(fd);
}

static void
set_leave(const char *text)
{
	write_file(leave(), text, strlen(text), 0644);
}

/* Skips what needs root. Each test begins without a leave and without files. */
static void
begin(void)
{
	static int prepared;

	if (geteuid() != 0 || leave() == NULL)
		skip();
	if (!prepared) {
		if (!enter_namespace() || !shadow(leave_dir()))
			skip();
		prepared = 1;
	}
	CHECK(unlink(leave()) == 0 || errno == ENOENT);
	memcpy(strrchr(dir, '.') + 1, "XXXXXX", 6);
	CHECK(mkdtemp(dir) != NULL);
	CHECK_INT(chmod(dir, 0777), 0);
	snprintf(keylog, sizeof(keylog), "%s/keys", dir);
	snprintf(trace, sizeof(trace), "%s/trace", dir);
}

static void
end(void)
{
	struct dirent *e;
	DIR *d;

	CHECK((d = opendir(dir)) != NULL);
	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			CHECK(unlinkat(dirfd(d), e->d_name, 0) == 0 ||
			      unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR) == 0);
	}
	closedir(d);
	CHECK_INT(rmdir(dir), 0);
	h_case = NULL;
}

static void
become_user(const char *user)
{
	uid_t uid = (uid_t)atoi(user);

	if (uid == 0)
		return;
	CHECK_INT(setgroups(0, NULL), 0);
	CHECK_INT(setresgid(uid, uid, uid), 0);
	CHECK_INT(setresuid(uid, uid, uid), 0);
}

/* Configurations; the files are not the user's. */
struct configs {
	struct tls_config *client, *server;
};

static void
make_configs(struct configs *c, const char *user, const char *protocols,
    int isolation)
{
	uint8_t *ca, *cert, *key;
	size_t ca_len, cert_len, key_len;
	uint32_t versions;

	ca = h_load(h_cert("root.pem"), &ca_len);
	cert = h_load(h_cert("ecdsa-chain.pem"), &cert_len);
	key = h_load(h_cert("ecdsa.key"), &key_len);
	become_user(user);
	CHECK_INT(tls_config_parse_protocols(&versions, protocols), 0);
	CHECK((c->client = tls_config_new()) != NULL);
	CHECK((c->server = tls_config_new()) != NULL);
	CHECK_CONFIG(c->client, tls_config_set_ca_mem(c->client, ca, ca_len));
	CHECK_CONFIG(c->server, tls_config_set_keypair_mem(c->server, cert,
				    cert_len, key, key_len));
	CHECK_CONFIG(c->client, tls_config_set_protocols(c->client, versions));
	CHECK_CONFIG(c->server, tls_config_set_protocols(c->server, versions));
	CHECK_CONFIG(c->client, tls_config_set_isolation(c->client, isolation));
	CHECK_CONFIG(c->server, tls_config_set_isolation(c->server, isolation));
	free(ca);
	free(cert);
	free(key);
}

static void
free_configs(struct configs *c)
{
	tls_config_free(c->client);
	tls_config_free(c->server);
}

static void
open_pair(struct h_pair *p, struct configs *c)
{
	h_pair_start(p, c->client, c->server, "localhost");
	CHECK_PAIR(p);
	h_pair_echo(p);
}

/* How many regular files a process has open; only root can see that. */
static int
files_of(pid_t pid)
{
	char path[384];
	struct dirent *e;
	struct stat st;
	int n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	CHECK((d = opendir(path)) != NULL);
	while ((e = readdir(d)) != NULL) {
		char target[256];
		ssize_t len;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)pid,
		    e->d_name);
		len = readlink(path, target, sizeof(target) - 1);
		if (len == -1 || stat(path, &st) == -1)
			continue; /* closed meanwhile */
		target[len] = '\0';
		/* Not those in memory, which documents come in. */
		n += S_ISREG(st.st_mode) && strncmp(target, "/memfd:", 7) != 0;
	}
	closedir(d);
	return n;
}

/* The worker shows whether it has a key log; nobody else ever has one. */
static void
check_processes(int logs)
{
	pid_t worker = h_wait_helper("worker", -1);
	char path[64], buf[256];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)worker);
	CHECK((fd = open(path, O_RDONLY | O_CLOEXEC)) != -1);
	CHECK((len = read(fd, buf, sizeof(buf))) > 0);
	close(fd);
	CHECK_INT(len, logs ? 22 : 15);
	CHECK_MEM(buf, logs ? "goproxy\0worker\0keylog" : "goproxy\0worker",
	    logs ? 22 : 15);
	if (geteuid() != 0)
		return;
	CHECK_INT(files_of(worker), logs);
	CHECK_INT(files_of(h_wait_helper("keeper", -1)), 0);
}

/*
 * "talk USER LOGS": a connection with both ends here, and whether there is to
 * be a key log.
 */
static int
talk_peer(int argc, char **argv)
{
	struct configs c;
	struct h_pair p;

	CHECK_INT(argc, 3);
	make_configs(&c, argv[1], "tlsv1.3", TLS_ISOLATION_PROCESS);
	open_pair(&p, &c);
	check_processes(atoi(argv[2]));
	h_pair_free(&p);
	free_configs(&c);
	return 0;
}

/* "limited": talk, where no file may be longer than 1 MiB. */
static int
limited_peer(int argc, char **argv)
{
	const struct rlimit limit = { 1 << 20, 1 << 20 };
	char *args[] = { argv[0], (char *)"0", (char *)"1" };

	CHECK_INT(argc, 1);
	CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
	return talk_peer(3, args);
}

/* Runs a peer with SSLKEYLOGFILE, traced. */
static int
run(const char *value, const char *peer, const char *a, const char *b,
    const char *c)
{
	pid_t pid;

	CHECK(unlink(trace) == 0 || errno == ENOENT);
	CHECK_INT(setenv("LIBTLS_PROXY_DEBUG", trace, 1), 0);
	CHECK_INT(setenv("SSLKEYLOGFILE", value, 1), 0);
	pid = h_start(NULL, 0, peer, a, b, c, (char *)NULL);
	CHECK_INT(unsetenv("SSLKEYLOGFILE"), 0);
	CHECK_INT(unsetenv("LIBTLS_PROXY_DEBUG"), 0);
	return h_wait_exit(pid);
}

static void
check_trace(const char *want)
{
	char line[256];
	char *text;
	size_t len;

	text = (char *)h_load(trace, &len);
	if (want == NULL)
		CHECK(strstr(text, "SSLKEYLOGFILE") == NULL);
	else {
		snprintf(line, sizeof(line), "] SSLKEYLOGFILE: %s\n", want);
		CHECK_HAS(text, line);
	}
	free(text);
}

/* Sets the variable, which has no effect for this reason unless errnum is 0. */
static void
try_value(const char *value, int errnum, const char *reason)
{
	char want[128];

	CHECK_INT(run(value, "talk", USER, errnum == 0 ? "1" : "0", NULL), 0);
	snprintf(want, sizeof(want), "has no effect, %s: %s", reason,
	    strerror(errnum));
	check_trace(errnum == 0 ? "is written to" : want);
}

/* The lines of a key log, each of which must be of the right form. */
struct lines {
	char *line[MAX_LINES], *text;
	size_t n;
};

static int
is_hex(const char *s, size_t len)
{
	return strspn(s, "0123456789abcdef") == len && s[len] == '\0';
}

static void
read_lines(struct lines *l, const char *path)
{
	char label[64], random[128], secret[256], want[512], *line, *save;
	size_t len;

	l->text = (char *)h_load(path, &len);
	CHECK_INT(strlen(l->text), len);
	CHECK(len == 0 || l->text[len - 1] == '\n');
	l->n = 0;
	for (line = strtok_r(l->text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		if (line[0] == '#')
			continue;
		CHECK_INT(
		    sscanf(line, "%63s %127s %255s", label, random, secret), 3);
		CHECK(is_hex(random, 64));
		CHECK(is_hex(secret, 64) || is_hex(secret, 96));
		/* One blank between them, and nothing else. */
		snprintf(want, sizeof(want), "%s %s %s", label, random, secret);
		CHECK_STR(line, want);
		CHECK(l->n < MAX_LINES);
		l->line[l->n++] = line;
	}
}

static size_t
count_label(const struct lines *l, const char *label)
{
	size_t i, n = 0;

	for (i = 0; i < l->n; i++)
		n += strncmp(l->line[i], label, strlen(label)) == 0 &&
		     l->line[i][strlen(label)] == ' ';
	return n;
}

/* Without leave all is as if there were no such variable. */
static void
not_allowed(void **state)
{
	static const char refused[] = "has no effect, not allowed on this "
				      "system: ";
	static const struct {
		const char *name, *text;
		size_t len; /* 0 for a string */
		int errnum; /* 0 where it is allowed */
	} cases[] = {
		{ "the user", USER "\n", 0, 0 },
		{ "everybody", "*\n", 0, 0 },
		{ "comments",
		    "# developers\n\n \t" USER " \t# me\n7#nobody\n *#\n", 0,
		    0 },
		{ "the last", "1\n0\n4294967294\n" USER "\n", 0, 0 },
		{ "none", NULL, 0, ENOENT },
		{ "empty", "", 0, EPERM },
		{ "comment", "# " USER "\n", 0, EPERM },
		{ "another", "4243\n424\n42420\n", 0, EPERM },
		{ "a name", "root\n" USER "\n", 0, EINVAL },
		{ "two in a line", USER " 1\n", 0, EINVAL },
		{ "something behind", "*\n" USER "x\n", 0, EINVAL },
		{ "two asterisks", "**\n", 0, EINVAL },
		{ "asterisk and number", "*1\n", 0, EINVAL },
		{ "leading zero", "0" USER "\n", 0, EINVAL },
		{ "sign", "+" USER "\n", 0, EINVAL },
		{ "no user", "4294967295\n*\n", 0, EINVAL },
		{ "too large", "4294971538\n", 0, EINVAL },
		{ "huge", "99999999999999999999999999\n*\n", 0, EINVAL },
		{ "carriage return", USER "\r\n", 0, EINVAL },
		{ "no newline", "*\n" USER, 0, EINVAL },
		{ "no newline, comment", USER "\n#", 0, EINVAL },
		{ "NUL", USER "\n\0\n", 7, EINVAL },
		{ "NUL in a comment", USER "\n#\0\n", 8, EINVAL },
	};
	char want[128];
	size_t i;

	(void)state;
	begin();
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		h_case = cases[i].name;
		unlink(leave());
		if (cases[i].text != NULL)
			write_file(leave(), cases[i].text,
			    cases[i].len != 0 ? cases[i].len
					      : strlen(cases[i].text),
			    0644);
		CHECK_INT(run(keylog, "talk", USER,
			      cases[i].errnum == 0 ? "1" : "0", NULL),
		    0);
		snprintf(want, sizeof(want), "%s%s", refused,
		    strerror(cases[i].errnum));
		check_trace(cases[i].errnum == 0 ? "is written to" : want);
		CHECK_INT(access(keylog, F_OK), cases[i].errnum == 0 ? 0 : -1);
		unlink(keylog);
	}
	end();
}

/* Root needs it as well; and without the variable nothing is said. */
static void
root_needs_leave(void **state)
{
	(void)state;
	begin();
	CHECK_INT(run(keylog, "talk", "0", "0", NULL), 0);
	CHECK_INT(access(keylog, F_OK), -1);
	set_leave(USER "\n");
	CHECK_INT(run(keylog, "talk", "0", "0", NULL), 0);
	CHECK_INT(access(keylog, F_OK), -1);
	set_leave("0\n");
	CHECK_INT(run(keylog, "talk", USER, "0", NULL), 0);
	CHECK_INT(access(keylog, F_OK), -1);
	CHECK_INT(run("", "talk", "0", "0", NULL), 0);
	check_trace(NULL);
	CHECK_INT(run(keylog, "talk", "0", "1", NULL), 0);
	CHECK_INT(access(keylog, F_OK), 0);
	end();
}

/* A file that is not root's alone is nobody's leave. */
static void
leave_of_others(void **state)
{
	static const struct {
		const char *name;
		uid_t owner, dir_owner;
		mode_t mode, dir_mode;
		int link, errnum;
		size_t pad;
	} cases[] = {
		{ "root's", 0, 0, 0644, 0755, 0, 0, 0 },
		{ "the user's", 4242, 0, 0644, 0755, 0, EACCES, 0 },
		{ "its group's", 0, 0, 0664, 0755, 0, EACCES, 0 },
		{ "everybody's", 0, 0, 0646, 0755, 0, EACCES, 0 },
		{ "not to be read", 0, 0, 0600, 0755, 0, EACCES, 0 },
		{ "the user's directory", 0, 4242, 0644, 0755, 0, EACCES, 0 },
		{ "a group's directory", 0, 0, 0644, 0775, 0, EACCES, 0 },
		{ "everybody's directory", 0, 0, 0644, 01777, 0, EACCES, 0 },
		{ "a symbolic link", 0, 0, 0644, 0755, 1, ELOOP, 0 },
		{ "as large as can be", 0, 0, 0644, 0755, 0, 0, 4096 },
		{ "too large", 0, 0, 0644, 0755, 0, EINVAL, 4097 },
	};
	char target[512], text[4200];
	size_t i, len;

	(void)state;
	begin();
	snprintf(target, sizeof(target), "%s.target", leave());
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		h_case = cases[i].name;
		len = 2;
		if (cases[i].pad > len)
			len = cases[i].pad;
		memset(text, '\n', sizeof(text));
		text[0] = '*';
		unlink(leave());
		write_file(cases[i].link ? target : leave(), text, len,
		    cases[i].mode);
		if (cases[i].link)
			CHECK_INT(symlink(target, leave()), 0);
		else
			CHECK_INT(chown(leave(), cases[i].owner, 0), 0);
		CHECK_INT(chown(leave_dir(), cases[i].dir_owner, 0), 0);
		CHECK_INT(chmod(leave_dir(), cases[i].dir_mode), 0);
		try_value(keylog, cases[i].errnum,
		    "not allowed on this system");
		CHECK_INT(access(keylog, F_OK), cases[i].errnum == 0 ? 0 : -1);
		unlink(keylog);
		CHECK_INT(chown(leave_dir(), 0, 0), 0);
		CHECK_INT(chmod(leave_dir(), 0755), 0);
	}
	unlink(target);
	end();
}

/* Secrets do not go where others have a hand in it. */
static void
files_of_others(void **state)
{
	static const struct {
		const char *name;
		int errnum; /* 0 where it is taken */
	} cases[] = {
		{ "own", 0 },
		{ "relative", EINVAL },
		{ "no directory", ENOENT },
		{ "directory", EISDIR },
		{ "fifo", ENXIO },
		{ "device", EPERM },
		{ "symbolic link", ELOOP },
		{ "hard link", EPERM },
		{ "somebody else's", EPERM },
		{ "readable", EPERM },
	};
	char other[64], *text;
	const char *value;
	size_t i, len;

	(void)state;
	begin();
	set_leave("*\n");
	snprintf(other, sizeof(other), "%s/other", dir);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		h_case = cases[i].name;
		value = keylog;
		if (strcmp(h_case, "relative") == 0)
			value = "tmp/keys";
		else if (strcmp(h_case, "no directory") == 0)
			value = "/nonexistent/keys";
		else if (strcmp(h_case, "directory") == 0)
			CHECK_INT(mkdir(keylog, 0700), 0);
		else if (strcmp(h_case, "fifo") == 0)
			CHECK_INT(mkfifo(keylog, 0600), 0);
		else if (strcmp(h_case, "device") == 0)
			value = "/dev/null";
		else
			write_file(keylog, "kept\n", 5, 0600);
		if (access(keylog, F_OK) == 0)
			CHECK_INT(chown(keylog, (uid_t)atoi(USER), 0), 0);
		if (strcmp(h_case, "symbolic link") == 0) {
			CHECK_INT(rename(keylog, other), 0);
			CHECK_INT(symlink(other, keylog), 0);
		} else if (strcmp(h_case, "hard link") == 0)
			CHECK_INT(link(keylog, other), 0);
		else if (strcmp(h_case, "somebody else's") == 0) {
			CHECK_INT(chown(keylog, OTHER, 0), 0);
			CHECK_INT(chmod(keylog, 0666), 0);
		} else if (strcmp(h_case, "readable") == 0)
			CHECK_INT(chmod(keylog, 0640), 0);
		try_value(value, cases[i].errnum, "the file cannot be used");
		if (cases[i].errnum == 0 || cases[i].errnum == EPERM) {
			if (value == keylog) {
				text = (char *)h_load(keylog, &len);
				CHECK_MEM(text, "kept\n", 5);
				CHECK_INT(len > 5, cases[i].errnum == 0);
				free(text);
			}
		}
		unlink(keylog);
		rmdir(keylog);
		unlink(other);
	}
	/* Root could open it. */
	h_case = "root";
	write_file(keylog, "", 0, 0600);
	CHECK_INT(chown(keylog, OTHER, 0), 0);
	CHECK_INT(run(keylog, "talk", "0", "0", NULL), 0);
	end();
}

/* A file that cannot grow costs no connection and no worker. */
static void
full(void **state)
{
	struct stat st;

	(void)state;
	begin();
	set_leave("0\n");
	write_file(keylog, "", 0, 0600);
	CHECK_INT(truncate(keylog, 1 << 20), 0);
	CHECK_INT(run(keylog, "limited", NULL, NULL, NULL), 0);
	check_trace("is written to");
	CHECK_INT(stat(keylog, &st), 0);
	CHECK_INT(st.st_size, 1 << 20);
	end();
}

/* Every line of ours is one that OpenSSL has written of the connection. */
static void
compare(const char *theirs, int tls13)
{
	struct lines ours, other;
	struct stat st;
	size_t i, j;

	CHECK_INT(stat(getenv("SSLKEYLOGFILE"), &st), 0);
	CHECK_INT(st.st_mode & 07777, 0600);
	CHECK_INT(st.st_uid, geteuid());
	read_lines(&ours, getenv("SSLKEYLOGFILE"));
	read_lines(&other, theirs);
	CHECK_INT(ours.n, tls13 ? 4 : 1);
	if (tls13) {
		CHECK_INT(count_label(&ours, "CLIENT_HANDSHAKE_TRAFFIC_SECRET"),
		    1);
		CHECK_INT(count_label(&ours, "SERVER_HANDSHAKE_TRAFFIC_SECRET"),
		    1);
		CHECK_INT(count_label(&ours, "CLIENT_TRAFFIC_SECRET_0"), 1);
		CHECK_INT(count_label(&ours, "SERVER_TRAFFIC_SECRET_0"), 1);
	} else
		CHECK_INT(count_label(&ours, "CLIENT_RANDOM"), 1);
	for (i = 0; i < ours.n; i++) {
		for (j = 0; j < other.n; j++) {
			if (strcmp(ours.line[i], other.line[j]) == 0)
				break;
		}
		if (j == other.n)
			FAIL("%s does not have %.40s...", theirs, ours.line[i]);
	}
	free(ours.text);
	free(other.text);
}

/* "openssl USER PROTOCOL": a connection from OpenSSL. */
static int
openssl_peer(int argc, char **argv)
{
	char command[512], port[8], theirs[80], got[8];
	char *args[] = { (char *)"/bin/sh", (char *)"-c", command, NULL };
	struct tls *base, *ctx;
	struct configs c;
	int fd, listener, pipes[2];
	pid_t pid;

	CHECK_INT(argc, 3);
	make_configs(&c, argv[1], argv[2], TLS_ISOLATION_PROCESS);
	snprintf(theirs, sizeof(theirs), "%s.openssl", getenv("SSLKEYLOGFILE"));
	CHECK_INT(pipe2(pipes, O_CLOEXEC), 0);
	listener = h_listen(port, sizeof(port));
	snprintf(command, sizeof(command),
	    "exec openssl s_client -quiet -connect 127.0.0.1:%s "
	    "-keylogfile %s </proc/self/fd/%d >/dev/null 2>&1",
	    port, theirs, H_KEPT);
	pid = h_exec(pipes, 1, args, environ);
	close(pipes[0]);
	fd = h_accept(listener);
	close(listener);
	base = h_server(c.server);
	h_nonblock(fd, 1);
	CHECK_TLS(base, tls_accept_socket(base, &ctx, fd));
	CHECK_TLS(ctx, h_handshake(ctx, fd));
	CHECK_INT(write(pipes[1], "hello\n", 6), 6);
	h_read(ctx, fd, got, 6);
	CHECK_MEM(got, "hello\n", 6);
	check_processes(1);
	compare(theirs, strcmp(argv[2], "tlsv1.3") == 0);
	tls_free(ctx);
	tls_free(base);
	close(fd);
	close(pipes[1]);
	h_kill(pid);
	free_configs(&c);
	return 0;
}

/* For ordinary users and root, whose goproxy is somebody else. */
static const struct {
	const char *name, *user, *protocol;
} users[] = {
	{ "user, TLS 1.2", USER, "tlsv1.2" },
	{ "user, TLS 1.3", USER, "tlsv1.3" },
	{ "root, TLS 1.2", "0", "tlsv1.2" },
	{ "root, TLS 1.3", "0", "tlsv1.3" },
};

static void
as_openssl_has_it(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
		begin();
		h_case = users[i].name;
		set_leave("0\n" USER "\n");
		CHECK_INT(run(keylog, "openssl", users[i].user,
			      users[i].protocol, NULL),
		    0);
		end();
	}
}

/* Of each connection the client's lines, and the same again as the server's. */
static void
check_pairs(const char *protocol, size_t connections)
{
	const size_t each = strcmp(protocol, "tlsv1.3") == 0 ? 4 : 1;
	struct lines l;
	size_t i, j, n;

	read_lines(&l, getenv("SSLKEYLOGFILE"));
	CHECK_INT(l.n, 2 * each * connections);
	for (i = 0; i < l.n; i++) {
		for (j = n = 0; j < l.n; j++)
			n += strcmp(l.line[i], l.line[j]) == 0;
		CHECK_INT(n, 2);
	}
	free(l.text);
}

/*
 * "workers USER PROTOCOL ISOLATION": several connections, in one worker or one
 * each, and another one after the death of a worker.
 */
static int
workers_peer(int argc, char **argv)
{
	struct h_pair p[3];
	struct configs c;
	pid_t pids[16];
	size_t i, n;

	CHECK_INT(argc, 4);
	make_configs(&c, argv[1], argv[2], atoi(argv[3]));
	for (i = 0; i < 3; i++) {
		open_pair(&p[i], &c);
		check_pairs(argv[2], i + 1);
	}
	n = h_helper_list("worker", pids, 16);
	CHECK(atoi(argv[3]) == TLS_ISOLATION_PROCESS ? n == 1 : n > 3);
	for (i = 0; i < 3; i++)
		h_pair_free(&p[i]);
	if (n == 1) {
		CHECK_INT(kill(pids[0], SIGKILL), 0);
		h_wait_gone(pids[0]);
		(void)h_wait_helper("worker", pids[0]);
	}
	open_pair(&p[0], &c);
	check_pairs(argv[2], 4);
	h_pair_free(&p[0]);
	free_configs(&c);
	return 0;
}

static void
several_workers(void **state)
{
	static const char *const isolations[] = { "0", "2" };
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
		for (j = 0; j < 2; j++) {
			begin();
			h_case = users[i].name;
			set_leave("*\n");
			CHECK_INT(run(keylog, "workers", users[i].user,
				      users[i].protocol, isolations[j]),
			    0);
			end();
		}
	}
}

static void
copy(const char *from, const char *to, mode_t mode)
{
	uint8_t *text;
	size_t len;

	text = h_load(from, &len);
	write_file(to, (char *)text, len, mode);
	free(text);
}

/*
 * "set_uid MODE": a program of another user's, which heeds no variable and so
 * has the installed goproxy, which this is in a name space of its own.
 */
static int
set_uid_peer(int argc, char **argv)
{
	static const char *const names[] = { "supervisor", "goproxy" };
	char from[512], to[512], *args[] = { from, (char *)"begin", NULL };
	size_t i;
	pid_t pid;

	CHECK_INT(argc, 2);
	if (!enter_namespace() || !shadow(getenv("LIBEXEC_INSTALLED")) ||
	    !shadow(leave_dir()))
		return 77;
	set_leave("*\n");
	for (i = 0; i < 2; i++) {
		snprintf(from, sizeof(from), "%s/%s",
		    getenv("LIBTLS_PROXY_LIBEXEC"), names[i]);
		snprintf(to, sizeof(to), "%s/%s", getenv("LIBEXEC_INSTALLED"),
		    names[i]);
		copy(from, to, 0711);
	}
	snprintf(from, sizeof(from), "%s/program", argv[1]);
	CHECK_INT(unsetenv("LIBTLS_PROXY_LIBEXEC"), 0);
	/* The file is root's already. */
	CHECK_INT(unsetenv("LIBTLS_PROXY_DEBUG"), 0);
	if ((pid = h_fork()) == 0) {
		become_user(USER);
		execv(from, args);
		_exit(127);
	}
	return h_wait_exit(pid);
}

static void
set_uid_program(void **state)
{
	static const struct {
		const char *name;
		mode_t mode;
		int obeys;
	} cases[] = {
		{ "ordinary", 0755, 1 },
		{ "set-uid", 04755, 0 },
		{ "set-gid", 02755, 0 },
	};
	char path[80];
	size_t i;
	int rv;

	(void)state;
	if (getenv("GUEST_STATIC_PROGRAM") == NULL)
		skip();
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin();
		h_case = cases[i].name;
		snprintf(path, sizeof(path), "%s/program", dir);
		copy(getenv("GUEST_STATIC_PROGRAM"), path, 0755);
		CHECK_INT(chown(path, OTHER, OTHER), 0);
		CHECK_INT(chmod(path, cases[i].mode), 0);
		rv = run(keylog, "set_uid", dir, NULL, NULL);
		if (rv == 77) {
			end();
			skip();
		}
		CHECK_INT(rv, 0);
		CHECK_INT(access(keylog, F_OK), cases[i].obeys ? 0 : -1);
		end();
	}
}

static const struct h_peer peers[] = {
	{ "talk", talk_peer },
	{ "limited", limited_peer },
	{ "openssl", openssl_peer },
	{ "workers", workers_peer },
	{ "set_uid", set_uid_peer },
};

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(not_allowed),
	cmocka_unit_test(root_needs_leave),
	cmocka_unit_test(leave_of_others),
	cmocka_unit_test(files_of_others),
	cmocka_unit_test(full),
	cmocka_unit_test(as_openssl_has_it),
	cmocka_unit_test(several_workers),
	cmocka_unit_test(set_uid_program),
};

H_MAIN(tests, peers)
