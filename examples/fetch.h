/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef FETCH_H
#define FETCH_H

#include <stdbool.h>

#include "net.h"
#include "secure.h"

/* What transfers return, and ftp's exit status. */
enum fetch_result {
	FETCH_DONE = 0,
	FETCH_USAGE = 1,
	FETCH_NETWORK = 2, /* the network, TLS, or nonsense from the server */
	FETCH_REFUSED = 3,
	FETCH_FILE = 4,
	FETCH_TRUNCATED = 5,
};

/* What all transfers of a run share. */
struct fetch {
	struct secure secure;
	struct net_options net;
	int timeout; /* seconds */
	bool resume;
	bool recursive;
	bool verbose;
	bool downgrade;	   /* from https to http, if the server says so */
	bool plaintext;	   /* ftp without TLS */
	bool clear;	   /* FTP's commands go in plaintext after the login */
	bool active;	   /* FTP's server connects for data */
	const char *netrc; /* NULL for the one in the home directory */
};

#endif
