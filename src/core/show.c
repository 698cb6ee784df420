/* SPDX-License-Identifier: MIT */
#include "show.h"

#include <errno.h>
#include <string.h>

#include "name.h"
#include "text.h"

static int print_record(void *arg, const struct kvp_pair *record)
{
	return kvp_text_print_record(arg, record);
}

static int print_item(void *arg, const struct kvp_item *item)
{
	struct kvp_pair pair = { item->key, kvp_value_bytes(item->value) };

	return kvp_text_print_record(arg, &pair);
}

int kvp_show_entries(struct kvp_store *store, FILE *out)
{
	return kvp_store_entries(store, print_item, out);
}

/* Without repeats the entries are the records, and reading them needs no lock. */
int kvp_show_records(struct kvp_store *store, FILE *out)
{
	struct kvp_status status;
	int r = kvp_store_refresh(store);

	if (r)
		return r;
	kvp_store_status(store, &status);
	if (status.records == status.keys + status.empty_keys)
		return kvp_show_entries(store, out);
	return kvp_store_entries_raw(store, print_record, out);
}

static int print_bytes(void *arg, struct kvp_bytes bytes)
{
	errno = EIO;
	return fwrite(bytes.data, 1, bytes.len, arg) == bytes.len ? 0 : -errno;
}

int kvp_show_pool(struct kvp_store *store, FILE *out)
{
	return kvp_store_copy(store, print_bytes, out);
}

static struct kvp_show_field text(const char *name, const char *value)
{
	return (struct kvp_show_field){ .name = name,
					.kind = KVP_SHOW_TEXT,
					.text = { value, strlen(value) } };
}

static struct kvp_show_field key(const char *name, struct kvp_bytes value)
{
	return (struct kvp_show_field){ .name = name,
					.kind = KVP_SHOW_KEY,
					.text = value };
}

static struct kvp_show_field number(const char *name, size_t value)
{
	return (struct kvp_show_field){ .name = name,
					.kind = KVP_SHOW_NUMBER,
					.number = value };
}

static struct kvp_show_field yes_no(const char *name, bool value)
{
	return (struct kvp_show_field){ .name = name,
					.kind = KVP_SHOW_YES_NO,
					.number = value };
}

static struct kvp_show_field yes_no_unknown(const char *name, bool is_known,
					    bool value)
{
	return is_known ? yes_no(name, value) : text(name, "unknown");
}

/* The fields as of the last reading; STALE is unknown unless STALE_RESULT is 0. */
static int visit_fields(struct kvp_store *store,
			const struct kvp_show_extra *extra, int stale_result,
			bool stale, kvp_visit_field *visit, void *arg)
{
	struct kvp_status is;
	struct kvp_report report;
	bool full = kvp_store_mode(store) == KVP_MODE_FULL;
	size_t repeated;
	int r = 0;

	kvp_store_status(store, &is);
	kvp_store_report(store, &report);
	repeated = is.records - is.keys - is.empty_keys;

	const struct kvp_show_field fields[] = {
		text("pool", extra->pool),
		text("path", kvp_store_path(store)),
		text("mode", full ? "full" : "restricted"),
		number("records", is.records),
		number("keys", is.keys),
		number("repeated", repeated),
		number("empty_keys", is.empty_keys),
		number("not_utf8", report.not_utf8),
		number("unlisted", report.unlisted),
		number("torn_bytes", is.torn_bytes),
		yes_no_unknown("stale", stale_result == 0, stale),
		number("max_key_size", kvp_store_max_key_size(store)),
		number("max_value_size", kvp_store_max_value_size(store)),
		number("max_keys", KVP_MAX_KEYS),
		number("hidden_from_host", report.hidden_from_host),
		key("first_hiding", report.first_hiding),
		number("cut_for_host", report.cut_for_host),
		number("lock_waits", extra->lock_waits),
		number("lock_timeouts", extra->lock_timeouts),
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields) && r == 0; i++)
		r = visit(arg, &fields[i]);
	return r;
}

int kvp_show_fields(struct kvp_store *store, const struct kvp_show_extra *extra,
		    kvp_visit_field *visit, void *arg)
{
	bool stale = false;
	int r = kvp_store_refresh(store);

	if (r == 0 || r == KVP_LOCKED)
		r = kvp_store_is_stale(store, &stale);
	if (r && r != KVP_NO_BOOT_TIME)
		return r;
	return visit_fields(store, extra, r, stale, visit, arg);
}

/* A newline in the text would look like the next line. */
static int print_text(FILE *out, const struct kvp_show_field *field)
{
	struct kvp_pair pair = { { field->name, strlen(field->name) },
				 field->text };

	return kvp_text_print_record(out, &pair);
}

static int print_key(FILE *out, const struct kvp_show_field *field)
{
	char line[KVP_NAME_LINE_MAX];
	size_t len;

	if (field->text.len == 0 ||
	    kvp_name_encode_line(field->text, line, &len) != 0)
		return print_text(out, field);
	errno = EIO;
	return fprintf(out, "%s=%.*s\n", field->name, (int)len, line) < 0
		       ? -errno
		       : 0;
}

static int print_field(void *arg, const struct kvp_show_field *field)
{
	FILE *out = arg;
	int printed;

	if (field->kind == KVP_SHOW_TEXT)
		return print_text(out, field);
	if (field->kind == KVP_SHOW_KEY)
		return print_key(out, field);
	errno = EIO;
	if (field->kind == KVP_SHOW_NUMBER)
		printed = fprintf(out, "%s=%zu\n", field->name, field->number);
	else
		printed = fprintf(out, "%s=%s\n", field->name,
				  field->number ? "yes" : "no");
	return printed < 0 ? -errno : 0;
}

int kvp_show_status(struct kvp_store *store, const struct kvp_show_extra *extra,
		    FILE *out)
{
	return kvp_show_fields(store, extra, print_field, out);
}
