/* SPDX-License-Identifier: MIT */
#include "rules.h"

#include "utf8.h"

/* By enum kvp_mode. */
static const struct kvp_rules modes[] = {
	/* what the guest kernel hands to the host without cutting it */
	[KVP_MODE_RESTRICTED] = { 254, 1022 },
	[KVP_MODE_FULL] = { KVP_KEY_SIZE, KVP_VALUE_SIZE },
};

struct kvp_rules kvp_rules_of(enum kvp_mode mode)
{
	return modes[mode];
}

static int refuse(struct kvp_fault fault, struct kvp_fault *ret_fault)
{
	*ret_fault = fault;
	return fault.result;
}

/* FAULT tells which field it is, and which refusals go with it. */
static int check_field(struct kvp_bytes field, struct kvp_fault fault,
		       int too_large, int contains_nul,
		       struct kvp_fault *ret_fault)
{
	const char *nul;

	fault.actual = field.len;
	if (field.len > fault.max) {
		fault.result = too_large;
		return refuse(fault, ret_fault);
	}
	nul = field.len > 0 ? memchr(field.data, '\0', field.len) : NULL;
	if (nul) {
		fault.result = contains_nul;
		fault.at = (size_t)(nul - field.data);
		return refuse(fault, ret_fault);
	}
	if (kvp_utf8_check(field, &fault.at) != KVP_UTF8_VALID) {
		fault.result = KVP_NOT_UTF8;
		return refuse(fault, ret_fault);
	}
	return 0;
}

int kvp_rules_check_key(const struct kvp_rules *rules, struct kvp_bytes key,
			struct kvp_fault *ret_fault)
{
	struct kvp_fault fault = { .is_key = true, .max = rules->key_size };

	if (key.len == 0) {
		fault.result = KVP_EMPTY_KEY;
		return refuse(fault, ret_fault);
	}
	return check_field(key, fault, KVP_KEY_TOO_LARGE, KVP_KEY_CONTAINS_NUL,
			   ret_fault);
}

int kvp_rules_check_value(const struct kvp_rules *rules, struct kvp_bytes value,
			  struct kvp_fault *ret_fault)
{
	return check_field(value,
			   (struct kvp_fault){ .max = rules->value_size },
			   KVP_VALUE_TOO_LARGE, KVP_VALUE_CONTAINS_NUL,
			   ret_fault);
}

int kvp_rules_check(const struct kvp_rules *rules, const struct kvp_pair *pair,
		    struct kvp_fault *ret_fault)
{
	int r = kvp_rules_check_key(rules, pair->key, ret_fault);

	return r ? r : kvp_rules_check_value(rules, pair->value, ret_fault);
}
