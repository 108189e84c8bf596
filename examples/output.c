/* SPDX-License-Identifier: ISC */

/* The file that ftp writes, and the bar that shows how far it is. */

#include <sys/types.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net.h"
#include "output.h"

#define PROGRESS_EVERY 200 /* milliseconds */
#define BAR_MAX	       40

/* Whether the cursor stands behind a progress bar. */
static bool bar_shown;

void
complain(const char *format, ...)
{
	va_list ap;

	if (bar_shown)
		fputc('\n', stderr);
	bar_shown = false;
	va_start(ap, format);
	vwarnx(format, ap);
	va_end(ap);
}

void
output_init(struct output *o, const char *name)
{
	memset(o, 0, sizeof(*o));
	o->fd = -1;
	o->name = name;
	o->total = -1;
}

static void
format_size(char *text, size_t size, double n)
{
	static const char units[] = " KMGTP";
	size_t i = 0;

	while (n >= 1024 && i + 2 < sizeof(units)) {
		n /= 1024;
		i++;
	}
	if (i == 0)
		snprintf(text, size, "%.0f B", n);
	else
		snprintf(text, size, "%.1f %ciB", n, units[i]);
}

void
output_progress(struct output *o, bool last)
{
	char bar[BAR_MAX + 1], line[256], rate[16], size[16];
	struct winsize ws;
	long long left = -1, now = net_now();
	double speed = 0;
	int columns = 80, fill, len, room;

	if (!isatty(STDERR_FILENO) ||
	    (o->fd == STDOUT_FILENO && isatty(STDOUT_FILENO)) ||
	    (!last && now - o->shown < PROGRESS_EVERY))
		return;
	o->shown = now;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0)
		columns = ws.ws_col;
	if (now > o->began)
		speed = (double)(o->have - o->start) * 1000 /
			(double)(now - o->began);
	format_size(size, sizeof(size), (double)o->have);
	format_size(rate, sizeof(rate), speed);
	len = snprintf(line, sizeof(line), " %10s %10s/s", size, rate);
	if (last)
		left = (now - o->began) / 1000;
	else if (o->total >= 0 && speed > 0)
		left = (long long)((double)(o->total - o->have) / speed);
	if (left > 99 * 3600)
		left = 99 * 3600;
	if (left >= 0)
		snprintf(line + len, sizeof(line) - (size_t)len,
		    " %02lld:%02lld:%02lld %s", left / 3600, left / 60 % 60,
		    left % 60, last ? "   " : "ETA");
	if (o->total >= 0) {
		double part =
		    o->total == 0 ? 1 : (double)o->have / (double)o->total;

		room = columns - (int)strlen(line) - 9;
		if (room > BAR_MAX)
			room = BAR_MAX;
		if (room < 0)
			room = 0;
		fill = (int)(part * room);
		memset(bar, '-', (size_t)room);
		memset(bar, '*', (size_t)(fill < room ? fill : room));
		bar[room] = '\0';
		fprintf(stderr, "\r%3d%% |%s|%s%s", (int)(part * 100), bar,
		    line, last ? "\n" : "");
	} else {
		fprintf(stderr, "\r%s%s", line, last ? "\n" : "");
	}
	bar_shown = !last;
}

int
output_measure(struct output *o)
{
	struct stat st;

	if (stat(o->name, &st) == -1) {
		if (errno == ENOENT)
			return 0;
		complain("%s: %s", o->name, strerror(errno));
		return -1;
	}
	if (!S_ISREG(st.st_mode)) {
		complain("%s: not a regular file, cannot resume", o->name);
		return -1;
	}
	o->have = o->start = st.st_size;
	return 0;
}

int
output_open(struct output *o)
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC;

	o->began = net_now();
	if (strcmp(o->name, "-") == 0) {
		o->fd = STDOUT_FILENO;
		return 0;
	}
	if (o->start == 0)
		flags |= O_TRUNC;
	if ((o->fd = open(o->name, flags, 0666)) == -1 ||
	    (o->start > 0 && lseek(o->fd, o->start, SEEK_SET) == -1)) {
		complain("%s: %s", o->name, strerror(errno));
		return -1;
	}
	return 0;
}

int
output_write(struct output *o, const char *data, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(o->fd, data, len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			complain("write %s: %s", o->name, strerror(errno));
			return -1;
		}
		data += n;
		len -= (size_t)n;
		o->have += n;
	}
	output_progress(o, false);
	return 0;
}

int
output_close(struct output *o)
{
	int fd = o->fd;

	o->fd = -1;
	if (fd == -1 || fd == STDOUT_FILENO || close(fd) == 0)
		return 0;
	complain("write %s: %s", o->name, strerror(errno));
	return -1;
}
