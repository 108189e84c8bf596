/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * Starts goproxy's keeper, and a worker whenever the keeper asks for one, and
 * takes from them, before they start, the rights that they do not need. A Go
 * program cannot start another by descriptor, and in a chroot there is no path
 * to it; with this process the keeper and the worker also need neither fork
 * nor exec. Holds no secret, parses nothing but the four bytes of SPAWN and
 * the administrator's leave, and ends with the keeper and the last worker.
 *
 * What stands still (SIGSTOP) for STOPPED_TICKS seconds is killed: a blocking
 * call of the application has no deadline of its own, and the end of the
 * process is what wakes it. The seconds are those that this process ran in, so
 * that nobody is killed where all were stopped and go on together.
 *
 * Started by the library with descriptor 3 the control channel, 4 goproxy's
 * binary, 5 a pipe that ends when the keeper runs or says why it does not, and
 * an environment that is empty but for SSLKEYLOGFILE if the program has it. The
 * keeper gets 3 the control channel, 4 the supervisor channel and 5 the link to
 * the first worker, which starts at the same time and not only when the keeper
 * can ask for it; a worker gets 3 its link and, with the argument "keylog", 4
 * the file of that name.
 *
 * Started by goproxy's self-test with a role and more arguments for goproxy,
 * and descriptor 4 as above, it becomes goproxy itself in place of that role.
 *
 * A right that cannot be given up is no reason to fail: the program may run
 * where that is forbidden. The self-test tells.
 */

#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <linux/capability.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	CONTROL = 3,
	GOPROXY = 4,
	STATUS = 5,
	FIRST_FREE = 6,
	/* More than the workers that a keeper asks for. */
	MAX_CHILDREN = 2048,
	TICK_MS = 1000,
	STOPPED_TICKS = 5,
	/* More than any list of users. */
	MAX_LEAVE = 4096,
};

enum role {
	KEEPER,
	WORKER,
	SUPERVISOR,
};

/*
 * User and group numbers from here on belong to nobody: those of systems, of
 * services and of containers are smaller. Each supervisor takes two, so that
 * no other goproxy, and no other role, has the same.
 */
#define FIRST_ID 0x70000000
/* Where there are no such numbers, as in a container with its own. */
#define NOBODY 65534

/* No goproxy has so many threads. */
#define MAX_THREADS 256

/* What the name of a control channel begins with; hexadecimal digits follow. */
#define CONTROL_NAME "libtls-proxy/control/"

/* As the library reads it from the pipe. */
enum stage {
	GOPROXY_FAILED = 1,
	/* No failures: what became of SSLKEYLOGFILE. */
	KEYLOG_ON,
	KEYLOG_NOT_ALLOWED,
	KEYLOG_NOT_OPENED,
};

struct failure {
	int32_t stage;
	int32_t errnum;
};

/*
 * Go's runtime overwrites what its garbage collector frees. It leaves no copy
 * of a stack behind by moving it to a smaller one, and none of registers by
 * interrupting who uses them.
 */
static const char keeper_variable[] =
    "GODEBUG=clobberfree=1,gcshrinkstackoff=1,asyncpreemptoff=1";

/* The message SPAWN of goproxy-protocol(7). */
static const uint8_t spawn[] = { 0x00, 0x01, 0x00, 0x20 };

static struct child {
	pid_t pid;
	int ticks; /* in a row for which it was seen to stand still */
} children[MAX_CHILDREN];
static size_t nchildren;

/* Tells the keeper, by NO_WORKER, why there is no process on this link. */
static void
no_worker(int link, int errnum)
{
	const uint32_t n = (uint32_t)errnum;
	const uint8_t message[] = { 0x00, 0x01, 0x00, 0x1a, (uint8_t)(n >> 24),
		(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };

	/* Where this fails the end of the link has to do. */
	(void)send(link, message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
on_sigchld(int sig)
{
	(void)sig; /* it ends the wait, and no more */
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Forgets the children that have ended. */
static void
reap(void)
{
	size_t i;
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		for (i = 0; i < nchildren && children[i].pid != pid; i++)
			;
		if (i < nchildren)
			children[i] = children[--nchildren];
	}
}

/* Looks for children that stand still. Returns how many there are. */
static int
tick(void)
{
	struct child *child;
	siginfo_t info;
	int stopped = 0;
	size_t i;

	for (i = 0; i < nchildren; i++) {
		child = &children[i];
		info.si_pid = 0;
		if (waitid(P_PID, (id_t)child->pid, &info,
			WSTOPPED | WNOHANG | WNOWAIT) == -1 ||
		    info.si_pid == 0) {
			child->ticks = 0;
			continue;
		}
		stopped++;
		/* The first is not a whole one. */
		if (child->ticks++ < STOPPED_TICKS)
			continue;
		/* Nobody else reaps it, so that the number is its own. */
		(void)kill(child->pid, SIGKILL);
	}
	return stopped;
}

/*
 * Waits for a message or, with -1, only for the end of all children, and looks
 * after them meanwhile: once a second for as long as there may be one that
 * stands still.
 */
static void
wait_for_message(int channel)
{
	static int ticking;
	static int64_t next;
	struct pollfd pfd = { .fd = channel, .events = POLLIN };
	struct timespec left = { 0, 0 };
	sigset_t none;
	int64_t ms;
	int n;

	sigemptyset(&none);
	for (;;) {
		reap();
		if (nchildren == 0)
			return;
		ms = next - now_ms();
		if (ticking && ms <= 0) {
			ticking = tick();
			next = now_ms() + (ms = TICK_MS);
		}
		left.tv_sec = ms / 1000;
		left.tv_nsec = ms % 1000 * 1000000;
		/* SIGCHLD comes through here and nowhere else. */
		n = ppoll(&pfd, 1, ticking ? &left : NULL, &none);
		if (n == -1 && errno == EINTR)
			ticking = 1;
		else if (n != 0)
			return;
	}
}

/* Forks, and keeps the child in mind. */
static pid_t
fork_child(void)
{
	sigset_t none;
	pid_t pid;

	if (nchildren == MAX_CHILDREN) {
		errno = EAGAIN;
		return -1;
	}
	if ((pid = fork()) > 0) {
		children[nchildren].pid = pid;
		children[nchildren++].ticks = 0;
	} else if (pid == 0) {
		signal(SIGCHLD, SIG_DFL);
		sigemptyset(&none);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
	}
	return pid;
}

/*
 * Names the keeper's end of the control channel, so that who holds the other
 * end of some socket knows whether it is one: goproxy-protocol(7). Without a
 * name there is no tls-proxy-status(1), and that is all.
 */
static void
name_control(void)
{
	static const char digits[] = "0123456789abcdef";
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char *p = sun.sun_path + 1; /* no file, but an abstract name */
	uint8_t random[16];	    /* so that nobody has it already */
	size_t i;

	if (getrandom(random, sizeof(random), GRND_NONBLOCK) !=
	    (ssize_t)sizeof(random))
		return;
	memcpy(p, CONTROL_NAME, sizeof(CONTROL_NAME) - 1);
	p += sizeof(CONTROL_NAME) - 1;
	for (i = 0; i < sizeof(random); i++) {
		*p++ = digits[random[i] >> 4];
		*p++ = digits[random[i] & 15];
	}
	(void)bind(CONTROL, (struct sockaddr *)&sun,
	    (socklen_t)(p - (char *)&sun));
}

/* Whether nobody but root can change what the descriptor is of. */
static int
is_roots(int fd, mode_t type)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return 0;
	if ((st.st_mode & S_IFMT) == type && st.st_uid == 0 &&
	    (st.st_mode & (S_IWGRP | S_IWOTH)) == 0)
		return 1;
	errno = EACCES;
	return 0;
}

/*
 * Opens the administrator's leave, from the root on: where the program has
 * changed its root, the directories may be anybody's. -1 with errno.
 */
static int
open_leave(void)
{
	char path[] = KEYLOG_LEAVE, *save = NULL, *name, *next;
	int fd, parent, saved;

	fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	name = strtok_r(path, "/", &save);
	while (fd != -1 && name != NULL && is_roots(fd, S_IFDIR)) {
		next = strtok_r(NULL, "/", &save);
		parent = fd;
		fd = openat(parent, name,
		    O_NOFOLLOW | O_CLOEXEC |
			(next != NULL ? O_PATH | O_DIRECTORY
				      : O_RDONLY | O_NONBLOCK));
		saved = errno;
		close(parent);
		errno = saved;
		name = next;
	}
	if (fd == -1 || (name == NULL && is_roots(fd, S_IFREG)))
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static const char *
skip_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

/*
 * Whether the leave is the user's: a user number or an asterisk a line, what
 * follows # is a comment. The last byte must be a newline, and there is a NUL
 * after the end. -1 if anything is wrong, for what was meant is not to be
 * guessed.
 */
static int
is_listed(const char *p, const char *end, uid_t uid)
{
	const char *first;
	int listed = 0;
	uint64_t id;

	while (p < end) {
		first = p = skip_blanks(p);
		for (id = 0; *p >= '0' && *p <= '9'; p++) {
			id = id * 10 + (uint64_t)(*p - '0');
			/* The last number is that of no user. */
			if (id >= UINT32_MAX)
				return -1;
		}
		if (p - first > 1 && *first == '0')
			return -1;
		if (p > first)
			listed |= id == uid;
		else if (*p == '*') {
			listed = 1;
			p++;
		}
		p = skip_blanks(p);
		if (*p == '#')
			p += strcspn(p, "\n");
		if (*p++ != '\n')
			return -1;
	}
	return listed;
}

/* Whether the administrator lets the user have a key log; else errno. */
static int
may_log_keys(uid_t uid)
{
	char buf[MAX_LEAVE + 2];
	size_t len = 0;
	ssize_t n;
	int fd, listed = -1;

	if ((fd = open_leave()) == -1)
		return 0;
	while ((n = read(fd, buf + len, MAX_LEAVE + 1 - len)) > 0)
		len += (size_t)n;
	close(fd);
	if (n == -1)
		return 0;
	buf[len] = '\0';
	if (len <= MAX_LEAVE)
		listed = is_listed(buf, buf + len, uid);
	errno = listed == -1 ? EINVAL : EPERM;
	return listed == 1;
}

/*
 * Opens the file that SSLKEYLOGFILE names, with the program's rights, and tells
 * the library what came of it. -1 without the variable, the administrator's
 * leave or such a file.
 */
static int
open_keylog(void)
{
	const char *path = getenv("SSLKEYLOGFILE");
	struct failure report = { KEYLOG_ON, 0 };
	struct stat st;
	int fd = -1;

	if (path == NULL)
		return -1;
	if (!may_log_keys(geteuid())) {
		report.stage = KEYLOG_NOT_ALLOWED;
		report.errnum = errno;
		goto out;
	}
	errno = EINVAL;
	if (*path == '/')
		fd = open(path,
		    O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC |
			O_NOCTTY | O_NONBLOCK,
		    0600);
	/* What somebody else has put there is not for secrets. */
	if (fd != -1 && (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) ||
			    st.st_uid != geteuid() || st.st_nlink != 1 ||
			    (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)) {
		close(fd);
		fd = -1;
		errno = EPERM;
	}
	if (fd == -1) {
		report.stage = KEYLOG_NOT_OPENED;
		report.errnum = errno;
	}

out:
	if (write(STATUS, &report, sizeof(report)) == -1)
		_exit(127); /* the library has gone */
	return fd;
}

/* A soft limit is what the program found right for itself. */
static void
set_limits(void)
{
	static const int raised[] = { RLIMIT_AS, RLIMIT_CPU, RLIMIT_DATA,
		RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_NPROC };
	const struct rlimit none = { 0, 0 };
	struct rlimit limit;
	size_t i;

	for (i = 0; i < sizeof(raised) / sizeof(raised[0]); i++) {
		if (getrlimit((unsigned int)raised[i], &limit) == -1)
			continue;
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit((unsigned int)raised[i], &limit);
	}
	(void)setrlimit(RLIMIT_CORE, &none);
}

/*
 * Makes the directory of a process that has ended the root, which shows
 * nothing and where nothing can be made. That needs neither a mount nor a
 * place to write.
 */
static void
empty_root(void)
{
	pid_t pid;

	pid = (pid_t)syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		_exit(chroot("/proc/self/fdinfo") == -1 || chdir("/") == -1);
	if (pid != -1)
		(void)waitpid(pid, NULL, 0);
}

/* What must be given up as root, and is inherited. */
static void
give_up_root(void)
{
	int cap;

	empty_root();
	for (cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
		continue;
}

/*
 * Whether another user than root could run goproxy: may exec it, and start
 * threads, for which a limit that root has inherited counts from then on.
 */
static int
can_leave_root(int goproxy)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit limit;
	struct stat st;

	if (fstat(goproxy, &st) == -1 || (st.st_mode & S_IXOTH) == 0)
		return 0;
	return setrlimit(RLIMIT_NPROC, &unlimited) == 0 ||
	       (getrlimit(RLIMIT_NPROC, &limit) == 0 &&
		   limit.rlim_max >= MAX_THREADS);
}

static int
set_user(uid_t uid, gid_t gid)
{
	return setresgid(gid, gid, gid) == -1 || setresuid(uid, uid, uid) == -1;
}

/* Becomes the user of the role, without capabilities. */
static void
take_user(enum role role, pid_t supervisor, int goproxy)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];
	const uid_t id = FIRST_ID + 2 * (uid_t)supervisor;
	const uid_t real = id + (role == KEEPER ? 0 : 1);
	const uid_t other = id + (role == WORKER ? 1 : 0);

	if (geteuid() == 0 && can_leave_root(goproxy)) {
		(void)setgroups(0, NULL);
		/* The supervisor is both, to end what stands still. */
		if (setresgid(real, other, other) == -1 ||
		    setresuid(real, other, other) == -1)
			(void)set_user(NOBODY, NOBODY);
	} else {
		/* Who runs a set-user-ID program is not to signal us. */
		(void)set_user(geteuid(), getegid());
	}
	memset(none, 0, sizeof(none));
	(void)syscall(SYS_capset, &header, none);
}

/*
 * Makes the nfds descriptors 3, 4, ... and becomes goproxy, with one variable
 * in its environment or NULL for none. All other descriptors are
 * close-on-exec. Returns only on failure.
 */
static void
become(int goproxy, char *const *argv, const char *variable, const int *fds,
    int nfds)
{
	char *const envp[] = { (char *)variable, NULL };
	int high[3], i;

	for (i = 0; i < nfds; i++) {
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 16);
		if (high[i] == -1)
			return;
	}
	for (i = 0; i < nfds; i++) {
		if (dup2(high[i], 3 + i) == -1)
			return;
	}
	syscall(SYS_execveat, goproxy, "", argv, envp, AT_EMPTY_PATH);
}

/* Returns the link that came with SPAWN; -1 at the end or for anything else. */
static int
receive_spawn(int channel)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	uint8_t buf[sizeof(spawn) + 1];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	ssize_t n;
	int fd;

	msg.msg_control = control.buf;
	msg.msg_controllen = sizeof(control.buf);
	wait_for_message(channel);
	do
		n = recvmsg(channel, &msg, MSG_CMSG_CLOEXEC);
	while (n == -1 && errno == EINTR);
	if (n != sizeof(spawn) || memcmp(buf, spawn, sizeof(spawn)) != 0 ||
	    (msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0)
		return -1;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg == NULL || cmsg->cmsg_level != SOL_SOCKET ||
	    cmsg->cmsg_type != SCM_RIGHTS ||
	    cmsg->cmsg_len != CMSG_LEN(sizeof(int)))
		return -1;
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

/*
 * Starts a worker, which holds one end of the link, with a key log unless that
 * is -1. Where it fails the other end is told why.
 */
static void
start_worker(int goproxy, int link, int keylog)
{
	char *const worker[] = { (char *)"goproxy", (char *)"worker",
		keylog == -1 ? NULL : (char *)"keylog", NULL };
	const int fds[] = { link, keylog };

	switch (fork_child()) {
	case -1:
		no_worker(link, errno);
		break;
	case 0:
		/* The user that the supervisor really is. */
		(void)set_user(getuid(), getgid());
		become(goproxy, worker, NULL, fds, keylog == -1 ? 1 : 2);
		no_worker(link, errno);
		_exit(127);
	}
	close(link);
}

int
main(int argc, char *argv[])
{
	char *const keeper[] = { (char *)"goproxy", (char *)"keeper", NULL };
	struct sigaction action = { .sa_handler = on_sigchld };
	struct failure failure = { GOPROXY_FAILED, 0 };
	int channel[2], first[2], keeper_fds[3], goproxy, link;
	int status = STATUS, keylog = -1, moved;
	const pid_t self = getpid();
	sigset_t sigchld;

	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)umask(077);
	/* As root there is no file in reach soon. */
	if (argc == 1)
		keylog = open_keylog();
	set_limits();
	if (geteuid() == 0)
		give_up_root();

	goproxy = fcntl(GOPROXY, F_DUPFD_CLOEXEC, FIRST_FREE);
	if (goproxy == -1)
		goto err;
	close(GOPROXY);
	if (argc > 1) {
		enum role role =
		    strcmp(argv[1], "keeper") == 0 ? KEEPER : WORKER;

		take_user(role, self, goproxy);
		argv[0] = keeper[0];
		become(goproxy, argv, role == KEEPER ? keeper_variable : NULL,
		    NULL, 0);
		return 1;
	}

	name_control();
	/* The keeper has something else there when it is seen to run. */
	if ((moved = fcntl(STATUS, F_DUPFD_CLOEXEC, FIRST_FREE)) == -1)
		goto err;
	close(STATUS);
	status = moved;
	if (fcntl(CONTROL, F_SETFD, FD_CLOEXEC) == -1 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) ==
		-1 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, first) == -1)
		goto err;
	sigemptyset(&action.sa_mask);
	(void)sigaction(SIGCHLD, &action, NULL);
	sigemptyset(&sigchld);
	sigaddset(&sigchld, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &sigchld, NULL);
	switch (fork_child()) {
	case -1:
		goto err;
	case 0:
		take_user(KEEPER, self, goproxy);
		keeper_fds[0] = CONTROL;
		keeper_fds[1] = channel[1];
		keeper_fds[2] = first[0];
		become(goproxy, keeper, keeper_variable, keeper_fds, 3);
		goto err;
	}
	close(CONTROL);
	close(status);
	close(channel[1]);
	close(first[0]);
	/* From here on there is nothing that needs a right. */
	take_user(SUPERVISOR, self, goproxy);

	/* A link that gets no worker ends, which the keeper sees. */
	start_worker(goproxy, first[1], keylog);
	while ((link = receive_spawn(channel[0])) != -1)
		start_worker(goproxy, link, keylog);
	/* A worker that stands still does not see that the keeper has ended. */
	close(channel[0]);
	wait_for_message(-1);
	return 0;

err:
	failure.errnum = errno;
	if (write(status, &failure, sizeof(failure)) == -1)
		_exit(127); /* the library has gone */
	_exit(1);
}
