/* SPDX-License-Identifier: MIT */
/*
 * The command "report": how provisioning has ended, under the key PROVISIONING_REPORT
 * in the format of azure-init's report-success and report-failure. Returns an exit
 * status. The store says whether the report can be stored, not this module.
 *
 * KVP_ROOT in the environment is a directory that stands for / where the VM's ID and
 * generation are looked up (sys/class/dmi/id/product_uuid, sys/firmware/efi, dev/efi):
 * for tests, and for systems that are prepared from outside.
 */
#ifndef CMD_PROVISIONING_H
#define CMD_PROVISIONING_H

#include "session.h"

int cmd_report(struct cmd_session *session);

#endif
