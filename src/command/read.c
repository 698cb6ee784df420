/* SPDX-License-Identifier: MIT */
#include "read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "json.h"
#include "show.h"
#include "text.h"
#include "util.h"

/* The value of a key, while it is looked for among all records. */
struct joined {
	struct kvp_bytes key;
	FILE *out;
	bool found;
};

static int join_record(void *arg, const struct kvp_pair *record)
{
	struct joined *joined = arg;

	if (!kvp_bytes_equal(record->key, joined->key))
		return 0;
	joined->found = true;
	fwrite(record->value.data, 1, record->value.len, joined->out);
	return 0;
}

/* The values of all records of KEY, in file order. */
static int show_all_values(struct cmd_session *session, struct kvp_bytes key,
			   FILE *out)
{
	struct joined joined = { .key = key, .out = out };
	int r = kvp_store_entries_raw(session->store, join_record, &joined);

	return r || joined.found ? r : KVP_ABSENT;
}

static int show_last_value(struct cmd_session *session, struct kvp_bytes key,
			   FILE *out)
{
	struct kvp_item item;
	int r = kvp_store_read(session->store, key, &item);

	if (r)
		return r;
	fwrite(item.value->data, 1, item.value->len, out);
	kvp_value_unref(item.value);
	return 0;
}

/* The value as it is to be printed: as itself, as a line, or as JSON. */
static int show_as_wanted(const struct cmd_request *request,
			  struct kvp_bytes key, struct kvp_bytes value,
			  FILE *out)
{
	json_t *object;
	int r;

	if (cmd_has(request, CMD_JSON)) {
		object = json_object();
		r = cmd_json_add(object, "key", key);
		if (r == 0)
			r = cmd_json_add(object, "value", value);
		return cmd_json_print(object, out) || r ? -ENOMEM : 0;
	}
	fwrite(value.data, 1, value.len, out);
	if (!cmd_has(request, CMD_N) &&
	    (value.len == 0 || value.data[value.len - 1] != '\n'))
		fputc('\n', out);
	return 0;
}

static int show_value(struct cmd_session *session, void *arg, FILE *out)
{
	const struct kvp_bytes *key = arg;
	kvp_autofree char *text = NULL;
	size_t size = 0;
	FILE *value = open_memstream(&text, &size);
	int r;

	if (!value)
		return -errno;
	r = cmd_has(session->request, CMD_ALL)
		    ? show_all_values(session, *key, value)
		    : show_last_value(session, *key, value);
	if (fclose(value) != 0 && r == 0)
		r = -ENOMEM;
	return r ? r
		 : show_as_wanted(session->request, *key,
				  (struct kvp_bytes){ text, size }, out);
}

int cmd_get(struct cmd_session *session)
{
	struct cmd_key key;
	int status = cmd_key(session, 0, &key);

	return status ? status
		      : cmd_fail(session, &key.bytes,
				 cmd_print(session, show_value, &key.bytes));
}

/* A line of ls; a key whose file can have no name is not shown. */
static void show_key(const struct cmd_request *request,
		     const struct kvp_entry *entry, FILE *out)
{
	char line[KVP_NAME_LINE_MAX];
	size_t len;

	if (kvp_name_encode_line(entry->key, line, &len))
		return;
	if (cmd_has(request, CMD_LONG))
		fprintf(out, "%5u %5zu ", entry->value->len, entry->records);
	fwrite(line, 1, len, out);
	fputc('\n', out);
}

/* The same as JSON, which shows every key. */
static int show_key_json(const struct cmd_request *request,
			 const struct kvp_entry *entry,
			 struct cmd_json_list *list, FILE *out)
{
	json_t *object = json_object();
	int r = cmd_json_add(object, "key", entry->key);

	if (r == 0 && cmd_has(request, CMD_LONG))
		r = cmd_json_add_number(object, "size", entry->value->len);
	if (r == 0 && cmd_has(request, CMD_LONG))
		r = cmd_json_add_number(object, "records", entry->records);
	return cmd_json_list_add(list, object, out) || r ? -ENOMEM : 0;
}

static int show_keys(struct cmd_session *session, void *arg, FILE *out)
{
	const struct cmd_request *request = session->request;
	const struct kvp_entry *entry;
	struct cmd_json_list list = { false };
	struct kvp_index index;
	size_t cursor = 0;
	int r = kvp_store_snapshot(session->store, &index);

	(void)arg;
	if (r)
		return r;
	while (r == 0 && (entry = kvp_index_next(&index, &cursor))) {
		if (cmd_has(request, CMD_JSON))
			r = show_key_json(request, entry, &list, out);
		else
			show_key(request, entry, out);
	}
	if (cmd_has(request, CMD_JSON))
		cmd_json_list_end(&list, out);
	kvp_index_release(&index);
	return r;
}

int cmd_ls(struct cmd_session *session)
{
	return cmd_fail(session, NULL, cmd_print(session, show_keys, NULL));
}

/* Records, as they come, in the form that is wanted. */
struct listing {
	FILE *out;
	bool json;
	struct cmd_json_list list;
};

static int show_record(void *arg, const struct kvp_pair *record)
{
	struct listing *listing = arg;
	json_t *object;
	int r;

	if (!listing->json)
		return kvp_text_print_record(listing->out, record);
	object = json_object();
	r = cmd_json_add(object, "key", record->key);
	if (r == 0)
		r = cmd_json_add(object, "value", record->value);
	return cmd_json_list_add(&listing->list, object, listing->out) || r
		       ? -ENOMEM
		       : 0;
}

static int show_entry(void *arg, const struct kvp_item *item)
{
	const struct kvp_pair record = { item->key,
					 kvp_value_bytes(item->value) };

	return show_record(arg, &record);
}

/* ARG: NULL for entries, else all records. */
static int show_listing(struct cmd_session *session, void *arg, FILE *out)
{
	struct listing listing = {
		.out = out, .json = cmd_has(session->request, CMD_JSON)
	};
	int r = arg ? kvp_store_entries_raw(session->store, show_record,
					    &listing)
		    : kvp_store_entries(session->store, show_entry, &listing);

	if (listing.json)
		cmd_json_list_end(&listing.list, out);
	return r;
}

int cmd_entries(struct cmd_session *session)
{
	return cmd_fail(session, NULL, cmd_print(session, show_listing, NULL));
}

int cmd_records(struct cmd_session *session)
{
	return cmd_fail(session, NULL,
			cmd_print(session, show_listing, session));
}

/* A copy of the pool's bytes; released by the caller. */
struct copy {
	char *data;
	size_t size;
};

static int copy_step(struct cmd_session *session, void *arg)
{
	struct copy *copy = arg;
	FILE *out = open_memstream(&copy->data, &copy->size);
	int r;

	if (!out)
		return -errno;
	r = kvp_show_pool(session->store, out);
	if (fclose(out) != 0 && r == 0)
		r = -ENOMEM;
	if (r) {
		free(copy->data);
		copy->data = NULL;
	}
	return r;
}

/* The pool is read before FILE is touched, and not locked while FILE is written. */
int cmd_dump(struct cmd_session *session)
{
	struct copy copy = { NULL, 0 };
	int r = cmd_try(session, copy_step, &copy);
	int status;

	if (r)
		return cmd_fail(session, NULL, r);
	status = cmd_write_file(session->request->args[0],
				kvp_store_path(session->store),
				(struct kvp_bytes){ copy.data, copy.size });
	free(copy.data);
	return status;
}

static int stale_step(struct cmd_session *session, void *arg)
{
	return kvp_store_is_stale(session->store, arg);
}

int cmd_is_stale(struct cmd_session *session)
{
	bool stale = false;
	int r = cmd_try(session, stale_step, &stale);

	if (r)
		return cmd_fail(session, NULL, r);
	return stale ? CMD_DONE : CMD_NO;
}

/* A field of the status as a member of ARG, an object. */
static int add_field(void *arg, const struct kvp_show_field *field)
{
	switch (field->kind) {
	case KVP_SHOW_NUMBER:
		return cmd_json_add_number(arg, field->name, field->number);
	case KVP_SHOW_YES_NO:
		return cmd_json_add_bool(arg, field->name, field->number);
	default:
		return cmd_json_add(arg, field->name, field->text);
	}
}

static int show_status(struct cmd_session *session, void *arg, FILE *out)
{
	const struct kvp_show_extra extra = { session->pool,
					      session->lock_waits,
					      session->lock_timeouts };
	int r = kvp_store_refresh(session->store); /* there is no earlier one */
	json_t *object;

	(void)arg;
	if (r)
		return r;
	if (!cmd_has(session->request, CMD_JSON))
		return kvp_show_status(session->store, &extra, out);
	object = json_object();
	r = kvp_show_fields(session->store, &extra, add_field, object);
	return cmd_json_print(object, out) || r ? -ENOMEM : 0;
}

int cmd_status(struct cmd_session *session)
{
	return cmd_fail(session, NULL, cmd_print(session, show_status, NULL));
}
