/* SPDX-License-Identifier: MIT */
/*
 * Tells the service manager that the mount answers: sd_notify(3). The protocol is one
 * datagram, and made to be spoken without the library, which would take more resident
 * memory than the rest of the program.
 */
#ifndef KVPFS_READY_H
#define KVPFS_READY_H

/* Sends STATE, such as "READY=1", if there is a service manager. */
void kvpfs_notify_manager(const char *state);

#endif
