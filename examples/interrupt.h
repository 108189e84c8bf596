/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef INTERRUPT_H
#define INTERRUPT_H

#include <stdbool.h>

/*
 * While there is something to put in order, a signal that would end the
 * program only interrupts what waits for the network. interrupt_release ends
 * the program if there was one.
 */
void interrupt_hold(void);
void interrupt_release(void);
bool interrupted(void);

#endif
