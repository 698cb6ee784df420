#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Side by side with cloud-init: its own reporting handler, from Debian's package,
# appends events to a pool while it is mounted; each must show up as a file at
# once. The package is unpacked into a cache and never installed, since installed
# it would configure this machine. Its module needs python3-requests and
# python3-yaml.

# shellcheck source=lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/kvpfs-tests
modules=$cache/cloud-init/usr/lib/python3/dist-packages

skip_all()
{
	echo "1..0 # SKIP $*"
	exit 77
}

# Into a folder of its own first, so that the cache is whole or absent.
fetch()
{
	[[ ! -d $modules ]] || return 0
	mkdir -p "$cache" || return
	(
		cd "$scratch" || exit
		apt-get -qq download cloud-init || {
			apt-get -qq update && apt-get -qq download cloud-init
		} || exit
		dpkg -x cloud-init_*.deb unpacked || exit
		mv -T unpacked "$cache/cloud-init"
	) >&2
}

type apt-get dpkg >/dev/null 2>&1 || skip_all 'needs apt-get and dpkg'
fetch >"$scratch/fetch" 2>&1 ||
	skip_all "no cloud-init to be had: $(tail -n 1 "$scratch/fetch")"
export PYTHONPATH=$modules PYTHONDONTWRITEBYTECODE=1
"$PYTHON" -c 'import cloudinit.reporting.handlers' 2>"$scratch/import" ||
	skip_all "cloud-init cannot be imported: $(tail -n 1 "$scratch/import")"

# Runs the script of standard input with a handler on the pool; `publish` reports
# an event and returns its key and value as the handler wrote them.
with_handler()
{
	{
		cat <<-'EOF'
			import json, os, sys
			sys.path.insert(0, os.environ['TESTS'])
			import pool
			from cloudinit.reporting import events, handlers

			POOL = os.path.abspath('pool')
			handler = handlers.HyperVKvpReportingHandler(kvp_file_path=POOL)

			def started(name, text):
			    return events.ReportingEvent('start', name, text)

			def publish(event):
			    before = len(pool.records(POOL))
			    handler.publish_event(event)
			    handler.flush()
			    return pool.records(POOL)[before:]

			def content(key):
			    name = key.replace(b'/', b'%2F')
			    with open(b'mount/' + name, 'rb') as file:
			        return file.read()

			def equal(actual, wanted):
			    assert actual == wanted, f'{actual!r} is not {wanted!r}'
		EOF
		cat
	} >script.py
	TESTS=$tests "$PYTHON" script.py
}

each_event_is_a_file_at_once()
{
	with_handler <<-'EOF'
		published = []
		for n in range(50):
		    for event in (
		            started('init-network/check-cache', 'é%41 ' * n),
		            events.FinishReportingEvent(f'modules-final/{n}', 'done')):
		        for key, value in publish(event):
		            equal(content(key), value)
		            equal(json.loads(value)['name'], event.name)
		            assert key.startswith(b'CLOUD_INIT|') and b'/' in key
		            published.append(key)
		names = os.listdir(b'mount')
		equal(names, [b'k'] + [key.replace(b'/', b'%2F') for key in published])
		equal(len(published) >= 100, True)
		equal(content(b'k'), b'v')
	EOF
}
it each_event_is_a_file_at_once k=v

long_event_becomes_several_files()
{
	with_handler <<-'EOF'
		text = 'x' * 5000
		parts = publish(events.ReportingEvent('start', 'modules/long', text))
		equal(len(parts) > 4, True)
		equal(sorted(os.listdir(b'mount')), sorted(key.replace(b'/', b'%2F')
		                                           for key, _ in parts))
		equal(''.join(json.loads(content(key))['msg'] for key, _ in parts), text)
	EOF
}
it long_event_becomes_several_files

handler_and_mount_write_in_turn()
{
	with_handler <<-'EOF'
		kept = []
		for n in range(50):
		    (key, value), = publish(started(f'a/b{n}', 'text'))
		    with open('mount/ours', 'w') as file:
		        file.write(f'{n}')
		    if n % 2:
		        os.unlink(b'mount/' + key.replace(b'/', b'%2F'))
		    else:
		        kept.append((key, value))
		equal(sorted(pool.records(POOL)), sorted(kept + [(b'ours', b'49')]))
		equal([(item['key'].encode(), item['value'].encode())
		       for item in handler._iterate_kvps(0)], pool.records(POOL))
	EOF
}
it handler_and_mount_write_in_turn

stale_pool_that_the_handler_empties_is_shown_empty()
{
	touch -d '2001-01-01 UTC' pool
	start "$POOL" "$MNT"
	equal "$(cat mount/k)" v
	with_handler <<-'EOF'
		equal(os.listdir('mount'), [])
		(key, value), = publish(events.ReportingEvent('start', 'init/x', 'text'))
		equal(content(key), value)
	EOF
	stop
}
options=none it stale_pool_that_the_handler_empties_is_shown_empty k=v

kvp_reads_what_the_handler_appends_and_stores_beside_it()
{
	export KVP=${KVPFS%/*}/kvp
	with_handler <<-'EOF'
		import subprocess

		def kvp(*arguments):
		    return subprocess.run([os.environ['KVP'], '-p', 'pool', *arguments],
		                          check=True, capture_output=True).stdout

		kept = []
		for n in range(20):
		    (key, value), = publish(started(f'a/b{n}', 'text'))
		    equal(kvp('get', '-n', key), value)
		    kvp('set', 'ours', f'{n}')
		    if n % 2:
		        kvp('rm', key)
		    else:
		        kept.append((key, value))
		equal(sorted(pool.records(POOL)), sorted(kept + [(b'ours', b'19')]))
		equal([item['key'].encode() for item in handler._iterate_kvps(0)],
		      [key for key, _ in pool.records(POOL)])
		for key, value in publish(started('long', 'x' * 5000)):
		    equal(kvp('get', '-n', key), value)
	EOF
}
options=none it kvp_reads_what_the_handler_appends_and_stores_beside_it

# Its modules write files so, and give them a mode after the close.
write_file_writes_a_key_and_gives_it_a_mode()
{
	"$PYTHON" -c 'from cloudinit import util
util.write_file("mount/k", "value\n", mode=0o600)
util.write_file("mount/new", b"bytes", mode=0o640)
util.write_file("mount/new", " more", omode="a", mode=0o640)'
	pool_is 'k=value\n' 'new=bytes more'
	equal "$(stat -c %a mount/k mount/new | xargs)" '600 640'
	equal "$(stat -c %a pool)" 644
}
it write_file_writes_a_key_and_gives_it_a_mode k=old

finish
