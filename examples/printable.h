/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef PRINTABLE_H
#define PRINTABLE_H

/* For texts of a peer that go to a terminal: '?' for what it might obey. */
void make_printable(char *s);

#endif
