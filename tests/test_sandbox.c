/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */
/*
 * What worker and keeper of a server cannot do, seen from outside: what the
 * kernel says of them, what another process of the same user can do to them,
 * and what the self-test finds. As root the tests run a second time as an
 * ordinary user.
 */

#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define NO_CAPABILITIES "0000000000000000"

/* Nobody has it; what root becomes to test as an ordinary user. */
#define USER "4242"

static const char *
ordinary_user(void)
{
	static char uid[16];

	if (geteuid() == 0)
		return USER;
	snprintf(uid, sizeof(uid), "%u", (unsigned int)geteuid());
	return uid;
}

static void
become_user(const char *user)
{
	uid_t uid = (uid_t)atoi(user);

	if (uid == geteuid())
		return;
	CHECK_INT(setgroups(0, NULL), 0);
	CHECK_INT(setresgid(uid, uid, uid), 0);
	CHECK_INT(setresuid(uid, uid, uid), 0);
}

/* A service that an ordinary user runs with one of root's capabilities. */
static void
become_privileged_user(const char *user)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];

	CHECK_INT(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), 0);
	become_user(user);
	memset(caps, 0, sizeof(caps));
	caps[0].permitted = caps[0].effective = caps[0].inheritable =
	    1U << CAP_NET_BIND_SERVICE;
	CHECK_INT(syscall(SYS_capset, &header, caps), 0);
	CHECK_INT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE,
		      CAP_NET_BIND_SERVICE, 0, 0),
	    0);
}

/* A filter of the program's own, which goproxy inherits. */
static void
forbid(const long *calls, size_t ncalls)
{
	struct sock_filter filter[64];
	struct sock_fprog program = { 0, filter };
	unsigned short n = 0;
	size_t i;

	filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
	    offsetof(struct seccomp_data, nr));
	for (i = 0; i < ncalls; i++) {
		filter[n++] = (struct sock_filter)BPF_JUMP(
		    BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)calls[i], 0, 1);
		filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
		    SECCOMP_RET_ERRNO | EPERM);
	}
	filter[n++] =
	    (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program.len = n;
	CHECK_INT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	CHECK_INT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static const long no_sandbox[] = {
	SYS_seccomp,
	SYS_landlock_create_ruleset,
	SYS_landlock_restrict_self,
	SYS_chroot,
	SYS_setgroups,
	SYS_setresuid,
	SYS_setresgid,
	SYS_capset,
};

static void
limit(int resource, rlim_t soft, rlim_t hard)
{
	struct rlimit l;

	CHECK_INT(getrlimit((unsigned int)resource, &l), 0);
	l.rlim_cur = soft;
	if (hard < l.rlim_max)
		l.rlim_max = hard;
	CHECK_INT(setrlimit((unsigned int)resource, &l), 0);
}

/* What programs do to themselves before they ask for TLS. */
static void
set_circumstances(const char *how)
{
	if (strcmp(how, "no_new_privs") == 0)
		CHECK_INT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	else if (strcmp(how, "filter") == 0)
		forbid(no_sandbox, sizeof(no_sandbox) / sizeof(*no_sandbox));
	else if (strcmp(how, "files") == 0)
		limit(RLIMIT_NOFILE, 64, RLIM_INFINITY);
	else if (strcmp(how, "cores") == 0)
		limit(RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY);
	else if (strcmp(how, "processes") == 0)
		limit(RLIMIT_NPROC, 4, 4);
	else if (strcmp(how, "processor") == 0)
		limit(RLIMIT_CPU, 1, RLIM_INFINITY);
	else if (strcmp(how, "capability") != 0)
		CHECK_STR(how, "plain");
}

/*
 * "server USER HOW": a server and a client of it. Sends the numbers of its
 * helpers, and serves until it is told to end.
 */
static int
server_peer(int argc, char **argv)
{
	uint8_t *ca, *cert, *key;
	size_t ca_len, cert_len, key_len;
	struct tls_config *cconfig, *sconfig;
	const gid_t group = 4711;
	pid_t pids[2];
	struct h_pair p;
	char c;

	CHECK_INT(argc, 3);
	ca = h_load(h_cert("root.pem"), &ca_len);
	cert = h_load(h_cert("ecdsa-chain.pem"), &cert_len);
	key = h_load(h_cert("ecdsa.key"), &key_len);
	if (geteuid() == 0)
		CHECK_INT(setgroups(1, &group), 0);
	if (strcmp(argv[2], "capability") == 0)
		become_privileged_user(argv[1]);
	else
		become_user(argv[1]);
	set_circumstances(argv[2]);
	CHECK((cconfig = tls_config_new()) != NULL);
	CHECK((sconfig = tls_config_new()) != NULL);
	CHECK_CONFIG(cconfig, tls_config_set_ca_mem(cconfig, ca, ca_len));
	CHECK_CONFIG(sconfig,
	    tls_config_set_keypair_mem(sconfig, cert, cert_len, key, key_len));
	h_pair_start(&p, cconfig, sconfig, "localhost");
	CHECK_PAIR(&p);
	pids[0] = h_wait_helper("keeper", -1);
	pids[1] = h_wait_helper("worker", -1);
	h_send(H_KEPT, pids, sizeof(pids));
	h_recv(H_KEPT, &c, 1);
	h_pair_echo(&p);
	h_pair_free(&p);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
	free(ca);
	free(cert);
	free(key);
	/* The leak checker needs what some circumstances do not give. */
	_exit(0);
}

struct server {
	const char *user;
	int control;
	pid_t pid;
	pid_t helpers[2];
};

static const char *const roles[] = { "keeper", "worker" };

static void
start_server(struct server *s, const char *user, const char *how)
{
	int end;

	h_case = how;
	s->user = user;
	h_socketpair(SOCK_STREAM, &s->control, &end);
	s->pid = h_start(&end, 1, "server", user, how, (char *)NULL);
	close(end);
	h_recv(s->control, s->helpers, sizeof(s->helpers));
}

static void
stop_server(struct server *s)
{
	h_send(s->control, "q", 1);
	CHECK_INT(h_wait_exit(s->pid), 0);
	close(s->control);
	h_wait_no_helpers(h_ms(5000));
	h_case = NULL;
}

/* The value of a line of a file in /proc, without the blanks before it. */
static void
proc_value(const char *path, const char *name, char *value, size_t size)
{
	char line[1024];
	const char *s;
	FILE *fp;

	if ((fp = fopen(path, "re")) == NULL)
		FAIL("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), fp) != NULL) {
		if (strncmp(line, name, strlen(name)) != 0)
			continue;
		for (s = line + strlen(name); isspace((unsigned char)*s); s++)
			continue;
		snprintf(value, size, "%.*s", (int)strcspn(s, "\n"), s);
		fclose(fp);
		return;
	}
	FAIL("%s has no %s", path, name);
}

static void
status(const char *path, const char *name, const char *want)
{
	char value[256];

	proc_value(path, name, value, sizeof(value));
	if (strcmp(value, want) != 0)
		FAIL("%s: %s %s, not %s", path, name, value, want);
}

/* What the kernel says of all threads, whoever started the program. */
static void
check_threads(pid_t pid)
{
	static const char *const sets[] = { "CapInh:", "CapPrm:", "CapEff:",
		"CapAmb:" };
	char dir[64], path[384];
	struct dirent *e;
	size_t i, n = 0;
	DIR *d;

	snprintf(dir, sizeof(dir), "/proc/%d/task", (int)pid);
	CHECK((d = opendir(dir)) != NULL);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s/status", dir, e->d_name);
		status(path, "Seccomp:", "2");
		status(path, "NoNewPrivs:", "1");
		for (i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
			status(path, sets[i], NO_CAPABILITIES);
		n++;
	}
	closedir(d);
	CHECK(n > 1);
}

static void
check_limits(pid_t pid)
{
	char path[64], value[256], hard[64], soft[64];

	snprintf(path, sizeof(path), "/proc/%d/limits", (int)pid);
	proc_value(path, "Max core file size", value, sizeof(value));
	CHECK_INT(sscanf(value, "%63s %63s", soft, hard), 2);
	CHECK_STR(soft, "0");
	CHECK_STR(hard, "0");
	proc_value(path, "Max open files", value, sizeof(value));
	CHECK_INT(sscanf(value, "%63s %63s", soft, hard), 2);
	CHECK_STR(soft, hard);
	proc_value(path, "Max cpu time", value, sizeof(value));
	CHECK_INT(sscanf(value, "%63s %63s", soft, hard), 2);
	CHECK_STR(soft, hard);
}

static void
check_name(pid_t pid, int exposed)
{
	char path[64], name[64];
	FILE *fp;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	CHECK((fp = fopen(path, "re")) != NULL);
	CHECK(fgets(name, sizeof(name), fp) != NULL);
	fclose(fp);
	CHECK_INT(strcmp(name, "goproxy-exposed\n") == 0, exposed);
}

/* No descriptor of the process is a file; only root can see that. */
static void
check_descriptors(pid_t pid)
{
	static const char *const kinds[] = { "socket:", "anon_inode:", "pipe:",
		"/dev/null", "/memfd:" };
	char dir[64], path[384], target[256];
	struct dirent *e;
	ssize_t len;
	size_t i, n = 0;
	DIR *d;

	snprintf(dir, sizeof(dir), "/proc/%d/fd", (int)pid);
	CHECK((d = opendir(dir)) != NULL);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		len = readlink(path, target, sizeof(target) - 1);
		if (len == -1)
			continue; /* closed meanwhile */
		target[len] = '\0';
		for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
			if (strncmp(target, kinds[i], strlen(kinds[i])) == 0)
				break;
		}
		if (i == sizeof(kinds) / sizeof(kinds[0]))
			FAIL("%s is %s", path, target);
		n++;
	}
	closedir(d);
	CHECK(n > 3);
}

/* Real, effective, saved and file system's. */
static void
ids(pid_t pid, const char *name, unsigned int id[4])
{
	char path[64], value[256];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	proc_value(path, name, value, sizeof(value));
	CHECK_INT(sscanf(value, "%u %u %u %u", &id[0], &id[1], &id[2], &id[3]),
	    4);
}

static pid_t
parent_of(pid_t pid)
{
	char path[64], value[256];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	proc_value(path, "PPid:", value, sizeof(value));
	return atoi(value);
}

/* Gone from the file system, and from what root could do. */
static void
check_rootless(pid_t pid)
{
	char path[64];
	unsigned int id[4];
	size_t i;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	status(path, "CapBnd:", NO_CAPABILITIES);
	status(path, "CapEff:", NO_CAPABILITIES);
	status(path, "NoNewPrivs:", "1");
	status(path, "Groups:", "");
	ids(pid, "Uid:", id);
	for (i = 0; i < 4; i++)
		CHECK(id[i] != 0);
	ids(pid, "Gid:", id);
	for (i = 0; i < 4; i++)
		CHECK(id[i] != 0);
	snprintf(path, sizeof(path), "/proc/%d/root/", (int)pid);
	CHECK(opendir(path) == NULL);
	CHECK_INT(errno, ESRCH);
	snprintf(path, sizeof(path), "/proc/%d/cwd/", (int)pid);
	CHECK(opendir(path) == NULL);
	CHECK_INT(errno, ESRCH);
}

static void
as_root(void **state)
{
	unsigned int keeper[4], worker[4], supervisor[4];
	struct server s;
	size_t i;

	(void)state;
	if (geteuid() != 0)
		skip();
	start_server(&s, "0", "plain");
	for (i = 0; i < 2; i++) {
		check_threads(s.helpers[i]);
		check_limits(s.helpers[i]);
		check_name(s.helpers[i], 0);
		check_descriptors(s.helpers[i]);
		check_rootless(s.helpers[i]);
	}
	check_rootless(parent_of(s.helpers[1]));
	CHECK_INT(parent_of(s.helpers[0]), parent_of(s.helpers[1]));
	/* Users of their own cannot touch each other. */
	ids(s.helpers[0], "Uid:", keeper);
	ids(s.helpers[1], "Uid:", worker);
	ids(parent_of(s.helpers[1]), "Uid:", supervisor);
	CHECK(keeper[0] != worker[0]);
	for (i = 1; i < 4; i++) {
		CHECK_INT(keeper[i], keeper[0]);
		CHECK_INT(worker[i], worker[0]);
	}
	/* The supervisor is both: it ends what stands still. */
	CHECK_INT(supervisor[0], worker[0]);
	CHECK_INT(supervisor[1], keeper[0]);
	stop_server(&s);
}

static void
as_user(void **state)
{
	struct server s;
	struct stat st;
	char path[64];
	size_t i;

	(void)state;
	start_server(&s, ordinary_user(), "cores");
	for (i = 0; i < 2; i++) {
		check_threads(s.helpers[i]);
		check_limits(s.helpers[i]);
		check_name(s.helpers[i], 0);
		if (geteuid() == 0)
			check_descriptors(s.helpers[i]);
		/* The files of what may not be dumped are root's. */
		snprintf(path, sizeof(path), "/proc/%d/mem", (int)s.helpers[i]);
		CHECK_INT(stat(path, &st), 0);
		CHECK_INT(st.st_uid, 0);
	}
	stop_server(&s);
}

/*
 * "attacker USER PID": another process of the user, who may signal it and no
 * more.
 */
static int
attacker_peer(int argc, char **argv)
{
	static const char *const closed[] = { "mem", "maps", "fd", "environ",
		"root", "auxv", "map_files", "stack" };
	char path[64], word[8];
	struct iovec local = { word, sizeof(word) };
	struct iovec remote = { (void *)0x10000, sizeof(word) };
	struct dirent *e;
	size_t i;
	pid_t pid;
	DIR *d;
	int fd;

	CHECK_INT(argc, 3);
	become_user(argv[1]);
	pid = atoi(argv[2]);
	CHECK_INT(kill(pid, 0), 0);
	CHECK_INT(ptrace(PTRACE_ATTACH, pid, NULL, NULL), -1);
	CHECK_INT(errno, EPERM);
	CHECK_INT(ptrace(PTRACE_SEIZE, pid, NULL, NULL), -1);
	CHECK_INT(errno, EPERM);
	CHECK_INT(process_vm_readv(pid, &local, 1, &remote, 1, 0), -1);
	CHECK_INT(errno, EPERM);
	CHECK_INT(process_vm_writev(pid, &local, 1, &remote, 1, 0), -1);
	CHECK_INT(errno, EPERM);
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd != -1) {
		CHECK_INT(syscall(SYS_pidfd_getfd, fd, 3, 0), -1);
		CHECK(errno == EPERM || errno == ENOSYS);
		close(fd);
	}
	for (i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid,
		    closed[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd != -1)
			FAIL("%s is open", path);
		CHECK(errno == EACCES || errno == EPERM);
	}
	/* Neither do its threads' directories help. */
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	CHECK((d = opendir(path)) != NULL);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		CHECK_INT(ptrace(PTRACE_ATTACH, atoi(e->d_name), NULL, NULL),
		    -1);
		CHECK_INT(errno, EPERM);
	}
	closedir(d);
	return 0;
}

static void
same_user(void **state)
{
	struct server s;
	char pid[16];
	size_t i;

	(void)state;
	start_server(&s, ordinary_user(), "plain");
	for (i = 0; i < 2; i++) {
		h_case = roles[i];
		snprintf(pid, sizeof(pid), "%d", (int)s.helpers[i]);
		CHECK_INT(h_wait_exit(h_start(NULL, 0, "attacker", s.user, pid,
			      (char *)NULL)),
		    0);
	}
	stop_server(&s);
}

/* What the program may be forbidden, goproxy works without. */
static void
circumstances(void **state)
{
	const struct {
		const char *how;
		int want_exposed, user, root; /* as whom it can be tried */
	} cases[] = {
		{ "no_new_privs", 0, 1, 1 },
		{ "filter", 1, 1, 1 },
		{ "files", 0, 1, 1 },
		{ "processor", 0, 1, 1 },
		/* An ordinary user needs more processes of his own. */
		{ "processes", 0, 0, 1 },
		{ "capability", 0, geteuid() == 0, 0 },
	};
	struct server s;
	size_t i, j;
	int root;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (root = 0; root <= (geteuid() == 0); root++) {
			if (!(root ? cases[i].root : cases[i].user))
				continue;
			start_server(&s, root ? "0" : ordinary_user(),
			    cases[i].how);
			for (j = 0; j < 2; j++) {
				check_name(s.helpers[j], cases[i].want_exposed);
				if (cases[i].want_exposed)
					continue;
				check_threads(s.helpers[j]);
				check_limits(s.helpers[j]);
			}
			stop_server(&s);
		}
	}
}

/* "self_test USER HOW": exits with 77 where the user cannot get at goproxy. */
static int
self_test_peer(int argc, char **argv)
{
	char path[4096];

	CHECK_INT(argc, 3);
	snprintf(path, sizeof(path), "%s/goproxy",
	    getenv("LIBTLS_PROXY_LIBEXEC"));
	become_user(argv[1]);
	if (access(path, X_OK) == -1)
		_exit(77);
	set_circumstances(argv[2]);
	CHECK_INT(dup2(H_KEPT, STDOUT_FILENO), STDOUT_FILENO);
	execl(path, "goproxy", "--self-test", (char *)NULL);
	FAIL("%s: %s", path, strerror(errno));
}

/* Returns the exit status; the caller frees the output. */
static int
self_test(const char *user, const char *how, char **out)
{
	size_t size = 0, len = 0;
	int a, b, rv;
	ssize_t n;
	pid_t pid;

	h_socketpair(SOCK_STREAM, &a, &b);
	pid = h_start(&b, 1, "self_test", user, how, (char *)NULL);
	close(b);
	*out = NULL;
	do {
		if (len + 4096 > size) {
			size += 65536;
			CHECK((*out = realloc(*out, size)) != NULL);
		}
		h_poll(a, POLLIN, H_WAIT);
		CHECK((n = read(a, *out + len, 4095)) >= 0);
		len += (size_t)n;
	} while (n > 0);
	(*out)[len] = '\0';
	close(a);
	rv = h_wait_exit(pid);
	return rv;
}

struct tally {
	int refused, allowed, lacking;
};

/* Reads the table as a program would. */
static void
read_table(char *out, struct tally *tally)
{
	struct tally said;
	char *line, *save = NULL;
	char role[16], verdict[16], want[64];
	int counted = 0;

	memset(tally, 0, sizeof(*tally));
	for (line = strtok_r(out, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "ROLE ", 5) == 0)
			continue;
		if (isdigit((unsigned char)*line)) {
			CHECK_INT(sscanf(line,
				      "%d refused, %d allowed, %d not applied",
				      &said.refused, &said.allowed,
				      &said.lacking),
			    3);
			counted = 1;
			continue;
		}
		CHECK_INT(sscanf(line, "%15s %15s", role, verdict), 2);
		CHECK(
		    strcmp(role, roles[0]) == 0 || strcmp(role, roles[1]) == 0);
		snprintf(want, sizeof(want), "%s", verdict);
		if (strcmp(want, "refused") == 0)
			tally->refused++;
		else if (strcmp(want, "ALLOWED") == 0)
			tally->allowed++;
		else if (strcmp(want, "not") == 0)
			tally->lacking++;
		else
			CHECK_STR(want, "applied");
	}
	CHECK(counted);
	CHECK_INT(said.refused, tally->refused);
	CHECK_INT(said.allowed, tally->allowed);
	CHECK_INT(said.lacking, tally->lacking);
}

static void
need_rows(const char *out)
{
	static const char *const rows[] = { "openat  ", "openat2  ",
		"memfd_create  ", "execve  ", "execveat  ",
		"clone, a process  ", "clone3  ", "unshare  ", "setns  ",
		"ptrace  ", "process_vm_readv  ", "kill  ", "pidfd_open  ",
		"mmap, executable  ", "mprotect, executable  ",
		"socket, AF_INET  ", "socket, AF_UNIX  ",
		"socket, AF_NETLINK  ", "connect  ", "bind  ", "mount  ",
		"open_by_handle_at  ", "setuid(0)  ", "personality  ", "bpf  ",
		"userfaultfd  ", "io_uring_setup  ", "perf_event_open  ",
		"keyctl  ", "init_module  ", "reboot  " };
	static const char *const deadly[] = { "execve", "ptrace",
		"socket, AF_INET", "mount", "bpf" };
	char want[128];
	size_t i, j;

	for (i = 0; i < 2; i++) {
		for (j = 0; j < sizeof(deadly) / sizeof(deadly[0]); j++) {
			snprintf(want, sizeof(want), "%-8s%-13s%-34s%s",
			    roles[i], "refused", deadly[j], "killed by SIGSYS");
			CHECK_HAS(out, want);
		}
		for (j = 0; j < sizeof(rows) / sizeof(rows[0]); j++) {
			snprintf(want, sizeof(want), "%-8s%-13s%s", roles[i],
			    "refused", rows[j]);
			CHECK_HAS(out, want);
		}
	}
}

static void
self_test_refused(void **state)
{
	const char *users[] = { ordinary_user(), "0" };
	struct tally tally;
	char *out;
	int i, rv;

	(void)state;
	for (i = 0; i < (geteuid() == 0 ? 2 : 1); i++) {
		h_case = users[i];
		rv = self_test(users[i], "plain", &out);
		if (rv == 77) {
			free(out);
			continue;
		}
		CHECK_INT(rv, 0);
		need_rows(out);
		/* What is not there is said. */
		if (strcmp(users[i], "0") == 0) {
			CHECK_HAS(out, "keeper  applied      an empty root");
			CHECK_HAS(out, "worker  applied      an empty root");
			CHECK_HAS(out,
			    "worker  applied      a user of its own");
		} else {
			CHECK_HAS(out, "keeper  not applied  an empty root");
			CHECK_HAS(out,
			    "worker  not applied  a user of its own");
			CHECK_HAS(out,
			    "keeper  refused      to its user, /proc/PID/mem");
		}
		read_table(out, &tally);
		CHECK(tally.refused > 150);
		CHECK_INT(tally.allowed, 0);
		free(out);
	}
	h_case = NULL;
}

/* Without a filter the self-test has something to tell. */
static void
self_test_allowed(void **state)
{
	struct tally tally;
	char *out;
	int rv;

	(void)state;
	rv = self_test(ordinary_user(), "filter", &out);
	if (rv == 77) {
		free(out);
		skip();
	}
	CHECK_INT(rv, 1);
	CHECK_HAS(out, "keeper  not applied  Landlock");
	CHECK_HAS(out, "worker  not applied  seccomp");
	CHECK_HAS(out, "worker  ALLOWED      openat  ");
	CHECK_HAS(out, "worker  ALLOWED      socket, AF_INET  ");
	CHECK_HAS(out, "keeper  ALLOWED      clone, a process  ");
	CHECK_HAS(out, "keeper  refused      seccomp  ");
	read_table(out, &tally);
	CHECK(tally.allowed > 20);
	free(out);
}

static const struct h_peer peers[] = {
	{ "server", server_peer },
	{ "attacker", attacker_peer },
	{ "self_test", self_test_peer },
};

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(as_root),
	cmocka_unit_test(as_user),
	cmocka_unit_test(same_user),
	cmocka_unit_test(circumstances),
	cmocka_unit_test(self_test_refused),
	cmocka_unit_test(self_test_allowed),
};

H_MAIN(tests, peers)
