/* SPDX-License-Identifier: MIT */
/*
 * Tells the service manager that the mount answers: sd_notify(3). The protocol is
 * one datagram and is meant to be spoken without the library, which would add
 * more resident memory than everything else here takes.
 */
#ifndef KVPFS_READY_H
#define KVPFS_READY_H

/* Sends STATE, such as "READY=1", if there is somebody to tell. */
void kvpfs_notify_manager(const char *state);

#endif
