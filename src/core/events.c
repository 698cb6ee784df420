/* SPDX-License-Identifier: MIT */
#include "events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "name.h"

int kvp_events_open(struct kvp_events *events, struct kvp_store *store,
		    uint64_t *ret_position)
{
	char *log;
	int r;

	if (events->readers == 0) {
		log = malloc(KVP_EVENTS_SIZE);
		if (!log)
			return -ENOMEM;
		r = kvp_reading_take(&events->seen, store);
		if (r) {
			free(log);
			return r;
		}
		events->log = log;
	}
	events->readers++;
	*ret_position = events->end;
	return 0;
}

void kvp_events_close(struct kvp_events *events)
{
	if (--events->readers > 0)
		return;
	kvp_reading_release(&events->seen);
	free(events->log);
	events->log = NULL;
}

static void add_bytes(struct kvp_events *events, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		events->log[events->end++ % KVP_EVENTS_SIZE] = bytes[i];
}

/* A key whose name is too long gets no line: no file shows it either. */
static void add_line(struct kvp_events *events, const char *what,
		     struct kvp_bytes key)
{
	char line[KVP_NAME_LINE_MAX];
	size_t len;

	if (kvp_name_encode_line(key, line, &len))
		return;
	add_bytes(events, what, strlen(what));
	add_bytes(events, line, len);
	add_bytes(events, "\n", 1);
}

static int add_change(void *arg, enum kvp_change change, struct kvp_bytes key,
		      struct kvp_value *value)
{
	struct kvp_events *events = arg;

	(void)value;
	if (change == KVP_CHANGE_CLEARED)
		add_bytes(events, "clear\n", 6);
	else
		add_line(events, change == KVP_CHANGE_GONE ? "delete " : "set ",
			 key);
	return 0;
}

int kvp_events_update(struct kvp_events *events, struct kvp_store *store,
		      bool *ret_more)
{
	uint64_t end = events->end;
	bool changed;
	int r = kvp_reading_look(&events->seen, store, &changed);

	if (r == 0 && changed)
		r = kvp_reading_renew(&events->seen, store, true, add_change,
				      events);
	if (r)
		return r;
	*ret_more = events->end != end;
	return 0;
}

/* The position of the oldest whole line in the log. */
static uint64_t oldest_line(const struct kvp_events *events)
{
	uint64_t at = events->end - KVP_EVENTS_SIZE;

	while (events->log[at++ % KVP_EVENTS_SIZE] != '\n')
		;
	return at;
}

ssize_t kvp_events_read(const struct kvp_events *events, uint64_t position,
			char *buf, size_t size, uint64_t *ret_oldest)
{
	size_t n = 0;

	if (position + KVP_EVENTS_SIZE < events->end) {
		*ret_oldest = oldest_line(events);
		return -EOVERFLOW;
	}
	for (; n < size && position < events->end; n++)
		buf[n] = events->log[position++ % KVP_EVENTS_SIZE];
	return (ssize_t)n;
}
