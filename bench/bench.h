/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdint.h>

#include "io.h"

#define BUFFER 65536
#define NSEC   1000000000ULL

enum activity {
	SEND,  /* send for a while, then close */
	RECV,  /* receive to the end, then close */
	ECHO,  /* a server: send back what comes, to the end */
	FORK,  /* the same, each connection in a process of its own */
	PING,  /* a client: send, and wait for the echo */
	SHAKE, /* a client: connect, handshake, close, and again */
	HOLD,  /* a client: connect, stay, and now and then ping */
	ONCE,  /* a client: one connection, one byte there and back */
};

struct options {
	struct io_setup io;
	enum activity activity;
	int conns;
	int blocking;
	double seconds;
	size_t size;
	int port; /* of the other end, for a client */
};

struct stats {
	uint64_t bytes, count, resumed, errors;
	uint64_t begin, end; /* of the transfer */
	uint64_t pause;	     /* the longest of the event loop */
	double *samples;     /* seconds */
	size_t nsamples, room;
};

extern struct options opt;
extern struct stats stats;
extern char buffer[BUFFER];
extern uint64_t started; /* when the program did */
/* Until when there is something to do; set by begin(). */
extern uint64_t deadline;
extern int listener;

/* main.c */
uint64_t now(void);
void say(const char *, ...) __attribute__((__format__(__printf__, 1, 2)));
/* Says why the first of many calls failed. */
void complain(struct io *);
/* Reads a line of standard input. Returns 0 at its end. */
int command(char *, size_t);
/* Starts the time of the measurement. */
void begin(void);
/* Says that io is ready, or that the program is, and waits for "go". */
void await_go(struct io *);
void sample(uint64_t nsec);
int connect_to_server(void);
void no_delay(int fd);
int wanted(ssize_t);

/* simple.c: blocking calls, one connection at a time */
void server_blocking(void);
void client_blocking(void);
void client_ping(void);
void client_shake(void);
void client_hold(void);
void client_once(void);
/* The first two connections of the activity SHAKE, up to "go". */
void shake_ready(void);

/* loop.c: one thread, many connections */
void run_loop(void);

#endif
