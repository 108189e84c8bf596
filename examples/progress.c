/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* What the user sees of a transfer. */

#include <sys/ioctl.h>

#include <err.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net.h"
#include "printable.h"
#include "progress.h"

#define EVERY	       200 /* milliseconds */
#define BAR_MAX	       40
#define NAME_MAX_SHOWN 20

static bool enabled;

static struct {
	char name[NAME_MAX_SHOWN + 1];
	off_t start, have, total;
	long long began, shown;
	bool running;
	bool drawn; /* the cursor stands behind it */
} bar;

void
complain(const char *format, ...)
{
	char text[1024];
	va_list ap;

	if (bar.drawn)
		fputc('\n', stderr);
	bar.drawn = false;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	make_printable(text);
	warnx("%s", text);
}

void
progress_enable(void)
{
	enabled = isatty(STDERR_FILENO);
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

/* "    1.0 MiB  500.0 KiB/s 00:00:02 ETA", or the time that it took */
static void
format_numbers(char *text, size_t size, long long now, bool last)
{
	char have[16], rate[16];
	double speed = 0;
	long long left = -1;
	int len;

	if (now > bar.began)
		speed = (double)(bar.have - bar.start) * 1000 /
			(double)(now - bar.began);
	format_size(have, sizeof(have), (double)bar.have);
	format_size(rate, sizeof(rate), speed);
	len = snprintf(text, size, " %10s %10s/s", have, rate);
	if (last)
		left = (now - bar.began) / 1000;
	else if (bar.total >= bar.have && speed > 0)
		left = (long long)((double)(bar.total - bar.have) / speed);
	if (left > 99 * 3600)
		left = 99 * 3600;
	if (left >= 0)
		snprintf(text + len, size - (size_t)len,
		    " %02lld:%02lld:%02lld%s", left / 3600, left / 60 % 60,
		    left % 60, last ? "    " : " ETA");
}

static void
draw(bool last)
{
	char numbers[80], line[BAR_MAX + 1];
	struct winsize ws;
	long long now = net_now();
	double part;
	int columns = 80, fill, room;

	if (!bar.running || (!last && now - bar.shown < EVERY))
		return;
	bar.shown = now;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0)
		columns = ws.ws_col;
	format_numbers(numbers, sizeof(numbers), now, last);
	fprintf(stderr, "\r%-*s", NAME_MAX_SHOWN, bar.name);
	if (bar.total >= bar.have) {
		part =
		    bar.total == 0 ? 1 : (double)bar.have / (double)bar.total;
		room = columns - NAME_MAX_SHOWN - (int)strlen(numbers) - 9;
		if (room > BAR_MAX)
			room = BAR_MAX;
		if (room < 0)
			room = 0;
		fill = (int)(part * room);
		memset(line, '-', (size_t)room);
		memset(line, '*', (size_t)fill);
		line[room] = '\0';
		fprintf(stderr, " %3d%% |%s|", (int)(part * 100), line);
	}
	fprintf(stderr, "%s%s", numbers, last ? "\n" : "");
	bar.drawn = !last;
}

void
progress_begin(const char *name, off_t have, off_t total)
{
	memset(&bar, 0, sizeof(bar));
	snprintf(bar.name, sizeof(bar.name), "%s", name);
	make_printable(bar.name);
	bar.start = bar.have = have;
	bar.total = total;
	bar.began = net_now();
	bar.running = enabled;
}

void
progress_update(off_t have)
{
	bar.have = have;
	draw(false);
}

void
progress_end(void)
{
	draw(true);
	bar.running = false;
}
