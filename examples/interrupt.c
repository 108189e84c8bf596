/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* Signals that end a transfer, and then the program. */

#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "interrupt.h"

static const int signals[] = { SIGHUP, SIGINT, SIGTERM };

#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

static struct sigaction before[SIGNALS];
static volatile sig_atomic_t caught;

static void catch (int sig)
{
	caught = sig;
}

void
interrupt_hold(void)
{
	struct sigaction action;
	size_t i;

	memset(&action, 0, sizeof(action));
	action.sa_handler = catch;
	sigemptyset(&action.sa_mask);
	for (i = 0; i < SIGNALS; i++) {
		sigaction(signals[i], NULL, &before[i]);
		if (before[i].sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
}

void
interrupt_release(void)
{
	size_t i;

	for (i = 0; i < SIGNALS; i++)
		sigaction(signals[i], &before[i], NULL);
	if (caught != 0)
		raise(caught);
}

bool
interrupted(void)
{
	return caught != 0;
}
